"""Unit tests of ``shared/dicomweb``."""
