"""Settings of the FHIR server that the archive keeps in step. Not: what the mapping does with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from shared.settings_source import LOOPBACK, base_url, boolean, one_of, positive, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.settings_source import Source

FhirAuth: TypeAlias = Literal["none", "managed-identity", "client-credentials"]


@dataclass(frozen=True, slots=True)
class FhirSettings:
    """The FHIR server to keep in step, and the choices of the mapping; ``docs/settings.md`` and ``docs/fhir.md`` explain them.

    Attributes
    ----------
    base_url, auth, scope
        The server's base URL, without a slash at its end, and how to get in.
    tenant_id, client_id, client_secret
        For client credentials; ``client_id`` also picks the managed identity.
    token_url
        Where client credentials are exchanged for a token; empty means Entra ID, by tenant.
    canonical
        Root of the identifier and code systems that this archive makes, without a slash at its end.
    service_root
        Public root of our own DICOMweb service, with its version.
    issuer_map
        Issuer text → identifier system.
    site_timezone
        IANA name, or empty.
    debounce_seconds, retry_window_seconds
        How quiet a study must be before it is written; how long a failing server is tried.
    instance_limit
        Studies with more instances list only those of small series and documents.
    birthdate_sentinels
        ``YYYYMMDD`` values that mean "unknown".
    practitioner_systems
        Coding scheme designator → identifier system of practitioners.
    managing_organization
        ``Organization/id`` of who runs the endpoint, or empty.
    location_map
        Name of a location → ``Location/id``.
    """

    base_url: str
    canonical: str
    patient_id_system: str
    accession_system: str
    service_root: str
    auth: FhirAuth = "none"
    scope: str = ""
    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    token_url: str = ""
    issuer_map: Mapping[str, str] = field(default_factory=dict)
    site_timezone: str = ""
    patient_policy: Literal["link", "create", "overwrite"] = "create"
    patient_mismatch: Literal["block", "flag"] = "block"
    missing_patient: Literal["hold", "display"] = "hold"
    debounce_seconds: float = 20.0
    retry_window_seconds: float = 86_400.0
    instance_limit: int = 2000
    dose: bool = True
    dose_events: Literal["ct", "all", "none"] = "ct"
    reports: bool = True
    measurements: bool = False
    devices: bool = True
    series_devices: bool = False
    delete: Literal["remove", "cancel"] = "remove"
    practitioner_systems: Mapping[str, str] = field(default_factory=dict)
    practitioners: Literal["link", "create"] = "link"
    orders: Literal["link", "create"] = "link"
    study_id_system: str = ""
    birthdate_sentinels: tuple[str, ...] = ("00010101",)
    key_images: Literal["none", "basic"] = "none"
    title_image_type: bool = False
    series_started_fallback: bool = False
    patient_extended: bool = False
    strict: bool = False
    compat_note: bool = False
    endpoint_name: str = ""
    managing_organization: str = ""
    location_map: Mapping[str, str] = field(default_factory=dict)


def fhir_settings(source: Source, public_base_url: str | None) -> FhirSettings | None:
    """Read them; None where ``FHIR_BASE_URL`` is not set. What is missing or wrong is left with the source."""
    if source.get("FHIR_BASE_URL") is None:
        return None
    service_root = _service_root(source, public_base_url)
    settings = FhirSettings(
        base_url=source.parse("FHIR_BASE_URL", base_url, ""),
        canonical=source.parse("FHIR_CANONICAL", base_url, ""),
        patient_id_system=source.parse("FHIR_PATIENT_ID_SYSTEM", _uri, ""),
        accession_system=source.parse("FHIR_ACCESSION_SYSTEM", _uri, ""),
        service_root=service_root,
        **_choices(source),
    )
    _ask_for_missing(source, settings)
    _ask_for_encryption(source, settings)
    return settings


def _service_root(source: Source, public_base_url: str | None) -> str:
    """Give the root of our own URLs: Azure tells every function app its default host name."""
    host = source.get("WEBSITE_HOSTNAME")
    root = public_base_url or (f"https://{host}" if host else "")
    return f"{root}/v2" if root else ""


def _choices(source: Source) -> dict[str, Any]:
    """Read what has a default, which stands in the dataclass alone."""
    given = {name: source.parse(setting, parser, None) for name, (setting, parser) in CHOICES.items()}
    return {name: value for name, value in given.items() if value is not None}


def _ask_for_missing(source: Source, settings: FhirSettings) -> None:
    needed = ["FHIR_CANONICAL", "FHIR_PATIENT_ID_SYSTEM", "FHIR_ACCESSION_SYSTEM"]
    if settings.auth == "client-credentials":
        needed += ["FHIR_CLIENT_ID", "FHIR_CLIENT_SECRET"]
        needed += [] if source.get("FHIR_TOKEN_URL") else ["FHIR_TENANT_ID"]
    missing = [name for name in needed if source.get(name) is None]
    missing += [] if settings.service_root else ["PUBLIC_BASE_URL"]
    if missing:
        source.reject(f"FHIR_BASE_URL is set, so set {', '.join(missing)}")


def _ask_for_encryption(source: Source, settings: FhirSettings) -> None:
    if not source.on_azure and settings.auth == "none":
        return
    for name, url in (("FHIR_BASE_URL", settings.base_url), ("FHIR_TOKEN_URL", settings.token_url)):
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            source.reject(f"{name} must be https: tokens and patient data go there")


_URI = re.compile(r"(urn:[a-z0-9][a-z0-9-]{1,31}:|https?://[^/?# ])[!-~]+", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"[0-9]{8}", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)


def _uri(text: str) -> str:
    if not _URI.fullmatch(text):
        raise ValueError("must be an absolute URI (urn:..., http://..., https://...) without blanks")
    return text


def _reference(resource_type: str) -> Callable[[str], str]:
    pattern = re.compile(rf"{resource_type}/[A-Za-z0-9.-]{{1,64}}", re.ASCII)

    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {resource_type}/ and an id")
        return text

    return parse


def _json_of(parse_value: Callable[[str], str]) -> Callable[[str], dict[str, str]]:
    """Make a parser of JSON objects whose values are texts of one kind."""

    def parse(text: str) -> dict[str, str]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("must be JSON") from None
        if not isinstance(value, dict) or not all(isinstance(inner, str) for inner in value.values()):
            raise ValueError("must be a JSON object of texts")
        try:
            return {name: parse_value(inner) for name, inner in value.items()}
        except ValueError as error:
            raise ValueError(f"has a value that is wrong: each {error}") from None

    return parse


def _time_zone(text: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 -- 8 ms that only a site with one zone needs

    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone of the IANA database, such as Europe/Vienna") from None
    return text


def _dates(text: str) -> tuple[str, ...]:
    dates = tuple(date.strip() for date in text.split(",") if date.strip())
    if not all(map(_DATE.fullmatch, dates)):
        raise ValueError("must list dates as YYYYMMDD")
    return dates


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise ValueError("must be a tenant's id or domain")
    return text


CHOICES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "auth": ("FHIR_AUTH", one_of("none", "managed-identity", "client-credentials")),
    "scope": ("FHIR_SCOPE", str),
    "tenant_id": ("FHIR_TENANT_ID", _tenant),
    "client_id": ("FHIR_CLIENT_ID", str),
    "client_secret": ("FHIR_CLIENT_SECRET", str),
    "token_url": ("FHIR_TOKEN_URL", base_url),
    "issuer_map": ("FHIR_ISSUER_MAP", _json_of(_uri)),
    "site_timezone": ("FHIR_SITE_TIMEZONE", _time_zone),
    "patient_policy": ("FHIR_PATIENT_POLICY", one_of("link", "create", "overwrite")),
    "patient_mismatch": ("FHIR_PATIENT_MISMATCH", one_of("block", "flag")),
    "missing_patient": ("FHIR_MISSING_PATIENT", one_of("hold", "display")),
    "debounce_seconds": ("FHIR_SYNC_DEBOUNCE", seconds(300)),
    "retry_window_seconds": ("FHIR_RETRY_WINDOW", seconds(2_592_000)),
    "instance_limit": ("FHIR_INSTANCE_LIMIT", positive),
    "dose": ("FHIR_DOSE", boolean),
    "dose_events": ("FHIR_DOSE_EVENTS", one_of("ct", "all", "none")),
    "reports": ("FHIR_REPORTS", boolean),
    "measurements": ("FHIR_MEASUREMENTS", boolean),
    "devices": ("FHIR_DEVICES", boolean),
    "series_devices": ("FHIR_SERIES_DEVICES", boolean),
    "delete": ("FHIR_DELETE", one_of("remove", "cancel")),
    "practitioner_systems": ("FHIR_PRACTITIONER_SYSTEMS", _json_of(_uri)),
    "practitioners": ("FHIR_PRACTITIONERS", one_of("link", "create")),
    "orders": ("FHIR_ORDERS", one_of("link", "create")),
    "study_id_system": ("FHIR_STUDY_ID_SYSTEM", _uri),
    "birthdate_sentinels": ("FHIR_BIRTHDATE_SENTINELS", _dates),
    "key_images": ("FHIR_KEY_IMAGES", one_of("none", "basic")),
    "title_image_type": ("FHIR_TITLE_IMAGE_TYPE", boolean),
    "series_started_fallback": ("FHIR_SERIES_STARTED_FALLBACK", boolean),
    "patient_extended": ("FHIR_PATIENT_EXTENDED", boolean),
    "strict": ("FHIR_STRICT", boolean),
    "compat_note": ("FHIR_COMPAT_NOTE", boolean),
    "endpoint_name": ("FHIR_ENDPOINT_NAME", str),
    "managing_organization": ("FHIR_MANAGING_ORGANIZATION", _reference("Organization")),
    "location_map": ("FHIR_LOCATION_MAP", _json_of(_reference("Location"))),
}
"""Field → setting and what reads it, for all that has a default."""
