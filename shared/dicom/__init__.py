"""DICOM itself: no HTTP, no Azure."""
