"""Deployments that the tests look at: the least, everything reached through the internet, everything behind private endpoints."""

from __future__ import annotations

from typing import Any, Final

from tests.infra.deployment import Deployed, deploy

_FHIR: Final[dict[str, Any]] = {
    "fhirCanonical": "https://archive.example/fhir",
    "fhirPatientIdSystem": "urn:oid:2.25.1",
    "fhirAccessionSystem": "urn:oid:2.25.2",
    "fhirOptions": {"FHIR_SITE_TIMEZONE": "Europe/Vienna"},
}
_CAUTIOUS: Final[dict[str, Any]] = {
    "audience": "api://archive",
    "customerManagedKey": True,
    "deleteLock": True,
    "immutableDays": 30,
    "auditKeepDays": 365,
    "replication": "Standard_GZRS",
    "alertEmail": "operators@archive.example",
    "budgetAmount": 500,
    "budgetStart": "2026-01-01",
    "appDiagnostics": True,
    "size": "large",
    "alwaysReady": 2,
}

LEAST: Final = deploy(name="archive")
PUBLIC: Final = deploy(
    name="archive",
    viewer=True,
    corsAllowedOrigins=["https://viewer.example"],
    fhir="existing",
    fhirBaseUrl="https://fhir.example",
    fhirAuth="client-credentials",
    fhirClientId="client",
    fhirClientSecret="secret",
    fhirTenantId="tenant",
    **_FHIR,
    **_CAUTIOUS,
)
PRIVATE: Final = deploy(name="archive", privateNetwork=True, viewer=True, fhir="create", **_FHIR, **_CAUTIOUS)
ALL: Final[dict[str, Deployed]] = {"least": LEAST, "public": PUBLIC, "private": PRIVATE}


def data_account(deployed: Deployed) -> str:
    """Give the name of the account that the archive's data is in."""
    return str(deployed.outputs["storageAccountName"])


def app_settings(deployed: Deployed) -> dict[str, Any]:
    """Give the settings of the function app."""
    (settings,) = deployed.of("Microsoft.Web/sites/config")
    return dict(settings.properties)
