"""What a study looks like in FHIR R4, and how a FHIR server is brought to look like that."""
