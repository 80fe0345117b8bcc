"""The local service: answers as the Azure DICOM service does, on loopback."""
