"""The wire format of DICOMweb: tags, values, DICOM JSON, multipart bodies, paths. Pure, no I/O."""
