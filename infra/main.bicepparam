// What `azd up` deploys. Set a value with `azd env set`, such as `azd env set AUDIENCE 00000000-0000-0000-0000-000000000000`.
using 'main.bicep'

param name = readEnvironmentVariable('ARCHIVE_NAME', 'archive')
param location = readEnvironmentVariable('AZURE_LOCATION', '')
param tags = { 'azd-env-name': readEnvironmentVariable('AZURE_ENV_NAME', '') }
param audience = readEnvironmentVariable('AUDIENCE', '')
param size = readEnvironmentVariable('ARCHIVE_SIZE', 'standard')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param privateNetwork = bool(readEnvironmentVariable('PRIVATE_NETWORK', 'false'))
param fhir = readEnvironmentVariable('FHIR', 'none')
param fhirCanonical = readEnvironmentVariable('FHIR_CANONICAL', '')
param fhirPatientIdSystem = readEnvironmentVariable('FHIR_PATIENT_ID_SYSTEM', '')
param fhirAccessionSystem = readEnvironmentVariable('FHIR_ACCESSION_SYSTEM', '')
