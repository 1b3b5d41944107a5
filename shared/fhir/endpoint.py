"""Endpoint: where the archive's DICOMweb service is reached. One for all studies.

References
----------
FHIR R4 8.6 "Resource Endpoint"; PS3.18 10.4 "Retrieve Transaction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.fhir.identity import Draft, Identity
from shared.fhir.json_text import compact

if TYPE_CHECKING:
    from shared.fhir.context import Context


def endpoint_identity(context: Context) -> Identity:
    """Give by what the Endpoint is known."""
    return Identity("Endpoint", f"{context.settings.canonical}/endpoint", context.service_root)


def endpoint(context: Context) -> Draft:
    """Make the Endpoint, for WADO-RS."""
    identity, organization = endpoint_identity(context), context.settings.managing_organization
    resource = compact(
        resourceType="Endpoint",
        meta=context.meta(),
        identifier=[identity.identifier()],
        status="active",
        connectionType={"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"},
        name=context.settings.endpoint_name or f"DICOMweb {urlsplit(context.service_root).hostname or ''}".rstrip(),
        managingOrganization={"reference": organization} if organization else None,
        payloadType=[{"text": "DICOM"}],
        payloadMimeType=["application/dicom", "application/dicom+json"],
        address=context.service_root,
    )
    return Draft(identity, resource)
