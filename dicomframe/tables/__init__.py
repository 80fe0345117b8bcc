"""DICOM JSON to typed DataFrames and back. Pure, no HTTP."""
