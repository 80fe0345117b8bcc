"""``df.dicom``: check the columns, find the client, delegate. Holds no state."""
