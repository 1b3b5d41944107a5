"""Unit tests of the synchronisation with FHIR, in virtual time."""
