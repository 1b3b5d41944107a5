"""Unit tests of ``shared/dicom``."""
