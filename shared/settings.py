"""Settings: the only reader of environment variables. Not: what they mean to the parts that get them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from shared.fhir_settings import FhirSettings, fhir_settings
from shared.identity_settings import IdentitySettings, identity_settings
from shared.settings_source import MARK_OF_AZURE, Source, base_url, boolean, one_of, positive, seconds, whole_number
from shared.telemetry_settings import EXPORTER_SWITCHES, TelemetrySettings, telemetry_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

StorageKind: TypeAlias = Literal["embedded", "azure"]
InboxTrigger: TypeAlias = Literal["event-grid", "queue"]
AuditWhenDown: TypeAlias = Literal["refuse", "buffer"]

STORAGE_CONNECTION = "STORAGE"
"""Name that the triggers' connection settings begin with, too."""


def runs_on_azure(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether this process carries the mark of an Azure function app."""
    return MARK_OF_AZURE in (os.environ if environment is None else environment)


def keep_exporter_to_itself() -> None:
    """Have the exporter of telemetry call nobody but the component it sends to. To be done before it is imported."""
    for name in EXPORTER_SWITCHES:
        os.environ[name] = "true"


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Which set of adapters to open, and where.

    Attributes
    ----------
    kind
        ``embedded`` (files and SQLite below ``data_dir``) or ``azure``.
    data_dir
        Data directory of the embedded set; None keeps everything in memory, for tests.
    connection_string
        A storage account's connection string (Azurite's); wins over the service URIs.
    blob_service_uri, table_service_uri, queue_service_uri
        Service endpoints, reached with a managed identity or the developer's own.
    client_id
        Of the user-assigned managed identity; None takes the default credential.
    merge_writes
        Embedded: let consecutive verbs share one SQLite transaction until somebody needs them durable.
    inbox_dir
        Embedded: folder that stands for the container ``inbox``; None takes the one below ``data_dir``.
    """

    kind: StorageKind
    data_dir: Path | None = None
    connection_string: str | None = None
    blob_service_uri: str | None = None
    table_service_uri: str | None = None
    queue_service_uri: str | None = None
    client_id: str | None = None
    merge_writes: bool = True
    inbox_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator decides; ``docs/settings.md`` has a paragraph for each.

    Attributes
    ----------
    identity
        Whose tokens are taken, and what they allow.
    public_base_url
        Root of the URLs we give out, without a slash at its end; None takes the forwarded host.
    cors_allowed_origins
        Origins whose pages may call the service.
    settle_delay_seconds
        How long after a commit its settle message is seen.
    max_instance_bytes
        Largest instance that is taken.
    inbox_trigger
        How blobs in the inbox are announced.
    audit_source
        Name of this archive in its audit records.
    audit_when_down
        What becomes of requests while the audit trail cannot be written.
    caller_requests_per_second, caller_requests_at_once
        How many requests one caller may send to this process, and have in work there; 0 for any number.
    telemetry
        Where metrics and traces go; None records none.
    fhir
        The FHIR server to keep in step; None keeps none.
    """

    storage: StorageSettings
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    public_base_url: str | None = None
    cors_allowed_origins: tuple[str, ...] = ()
    settle_delay_seconds: float = 60.0
    max_instance_bytes: int = 2_147_483_647
    inbox_trigger: InboxTrigger = "event-grid"
    audit_source: str = "localhost"
    audit_when_down: AuditWhenDown = "refuse"
    caller_requests_per_second: int = 500
    caller_requests_at_once: int = 80
    telemetry: TelemetrySettings | None = None
    fhir: FhirSettings | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Raises
        ------
        NotConfigured
            Settings are missing or wrong; the message names all of them, without their values.
        """
        source = Source(os.environ if environment is None else environment)
        public_base_url = source.parse("PUBLIC_BASE_URL", base_url, None)
        settings = cls(
            storage=_storage(source),
            identity=identity_settings(source),
            public_base_url=public_base_url,
            cors_allowed_origins=source.parse("CORS_ALLOWED_ORIGINS", _origins, ()),
            settle_delay_seconds=source.parse("SETTLE_DELAY", seconds(3600), 60.0),
            max_instance_bytes=source.parse("MAX_INSTANCE_BYTES", positive, 2_147_483_647),
            inbox_trigger=source.parse("INBOX_TRIGGER", one_of("event-grid", "queue"), "event-grid"),
            audit_source=source.get("AUDIT_SOURCE") or source.get("WEBSITE_HOSTNAME") or "localhost",
            audit_when_down=source.parse("AUDIT_WHEN_DOWN", one_of("refuse", "buffer"), "refuse"),
            caller_requests_per_second=source.parse("CALLER_REQUESTS_PER_SECOND", whole_number, 500),
            caller_requests_at_once=source.parse("CALLER_REQUESTS_AT_ONCE", whole_number, 80),
            telemetry=telemetry_settings(source),
            fhir=fhir_settings(source, public_base_url),
        )
        source.complain()
        return settings


def _storage(source: Source) -> StorageSettings:
    data_dir = source.get("STORAGE_DATA_DIR")
    return _embedded(source, Path(data_dir)) if data_dir else _azure(source)


def _embedded(source: Source, data_dir: Path) -> StorageSettings:
    if source.on_azure:
        source.reject("STORAGE_DATA_DIR is for a local run: a function app's disk does not last")
    inbox_dir = source.get("STORAGE_INBOX_DIR")
    return StorageSettings(
        kind="embedded",
        data_dir=data_dir,
        inbox_dir=Path(inbox_dir) if inbox_dir else None,
        merge_writes=source.parse("STORAGE_MERGE_WRITES", boolean, default=True),
    )


def _azure(source: Source) -> StorageSettings:
    uris = {service: source.get(f"{STORAGE_CONNECTION}__{service}ServiceUri") for service in ("blob", "table", "queue")}
    connection_string = source.get(STORAGE_CONNECTION)
    missing = [f"{STORAGE_CONNECTION}__{service}ServiceUri" for service, uri in uris.items() if uri is None]
    if missing and connection_string is None:
        source.reject(f"set {', '.join(missing)}")
    return StorageSettings(
        kind="azure",
        connection_string=connection_string,
        blob_service_uri=uris["blob"],
        table_service_uri=uris["table"],
        queue_service_uri=uris["queue"],
        client_id=source.get(f"{STORAGE_CONNECTION}__clientId"),
    )


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    if "*" in origins:
        raise ValueError("must list origins; a wildcard is not taken")
    return origins
