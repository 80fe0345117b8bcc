"""What the user's DICOM service reference holds, in its order: names of headings, table rows, list items and blocks.

Plain data, so that `test_outline.py` can tell which of them no test shows. A heading with a code block under it stands
for the block. Each entry of a section is a heading, or a heading with the rows, list items or lines under it.
"""

OUTLINE = {
    "DICOMweb Standards Compliance": {
        "DICOMweb Standards Compliance": ["STOW-RS", "WADO-RS", "QIDO-RS", "UPS-RS", "WADO-URI"],
    },
    "Authentication": {
        "Get Access Token": ["Azure CLI", "managed identity"],
        "Python Authentication": [],
    },
    "STOW-RS (Store)": {
        "Store Single Instance": [],
        "Store Multiple Instances": [],
        "Store to Specific Study": [],
        "Python STOW-RS Example": [],
        "Store Response": [],
        "Response Tags": ["00081190", "00081198", "00081199"],
    },
    "WADO-RS (Retrieve)": {
        "Retrieve Study": [],
        "Retrieve Series": [],
        "Retrieve Instance": [],
        "Retrieve Rendered Image (JPEG)": [],
        "Query Parameters for rendered": ["quality", "window", "viewport"],
        "Retrieve Thumbnail": [],
        "Retrieve Metadata Only": [],
        "Retrieve Bulk Data": [],
        "Python Retrieve Example": [],
    },
    "QIDO-RS (Query)": {
        "Search Studies": [],
        "Search Series": [],
        "Search Instances": [],
        "Search All Studies": [],
        "Study Level": [
            "StudyDate",
            "StudyTime",
            "AccessionNumber",
            "ModalitiesInStudy",
            "ReferringPhysicianName",
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "StudyInstanceUID",
            "StudyID",
            "StudyDescription",
        ],
        "Series Level": [
            "Modality",
            "SeriesInstanceUID",
            "SeriesNumber",
            "SeriesDescription",
            "PerformedProcedureStepStartDate",
        ],
        "Common Parameters": ["offset", "limit", "fuzzymatching", "includefield"],
        "Wildcard Matching": ["Prefix match", "Contains match", "Single character wildcard"],
        "Date Range Queries": ["Exact date", "Date range", "On or before", "On or after"],
        "Python Search Example": [],
    },
    "Delete Operations": {
        "Delete Study": [],
        "Delete Series": [],
        "Delete Instance": [],
        "Note": ["Delete operations are asynchronous"],
    },
    "Change Feed": {
        "Get Changes": [],
        "Response Format": [],
        "Action Types": ["Create", "Delete"],
        "Get Latest Sequence": [],
    },
    "Extended Query Tags": {
        "List Extended Query Tags": [],
        "Add Extended Query Tag": [],
        "Supported VR Types": ["DA", "TM", "DT", "PN", "LO", "SH", "UI", "CS", "IS", "DS", "AS", "AE"],
        "Reindex Studies": [],
    },
    "Error Handling": {
        "Common Status Codes": ["200", "202", "400", "401", "403", "404", "409", "413", "503"],
        "Error Response Format": [],
    },
    "Performance Optimization": {
        "Batch Store Operations": [],
        "Parallel Retrieve": [],
    },
    "Best Practices": {
        "Best Practices": [
            "Use Pagination",
            "Batch Uploads",
            "Stream Large Studies",
            "Monitor Change Feed",
            "Index Extended Tags",
            "Handle Async Operations",
            "Implement Retry Logic",
        ],
    },
}
