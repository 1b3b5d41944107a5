"""Unit tests of ``shared/fhir``."""
