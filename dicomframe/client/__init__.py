"""The client of a remote DICOM service, one module per verb."""
