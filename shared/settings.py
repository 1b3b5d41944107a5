"""Settings: the only reader of environment variables. Not: what they mean to the parts that get them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from shared.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

StorageKind: TypeAlias = Literal["embedded", "azure"]
InboxTrigger: TypeAlias = Literal["event-grid", "queue"]
T = TypeVar("T")

STORAGE_CONNECTION = "STORAGE"
"""Name that the triggers' connection settings begin with, too."""


def runs_on_azure(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether this process carries the mark of an Azure function app."""
    return "WEBSITE_INSTANCE_ID" in (os.environ if environment is None else environment)


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
    authority, audience
        Who issues tokens, and for whom; without both the service is closed.
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
    """

    storage: StorageSettings
    authority: str | None = None
    audience: str | None = None
    public_base_url: str | None = None
    cors_allowed_origins: tuple[str, ...] = ()
    settle_delay_seconds: float = 60.0
    max_instance_bytes: int = 2_147_483_647
    inbox_trigger: InboxTrigger = "event-grid"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Raises
        ------
        NotConfigured
            Settings are missing or wrong; the message names all of them, without their values.
        """
        source = _Source(os.environ if environment is None else environment)
        settings = cls(
            storage=_storage(source),
            authority=source.get("AUTHORITY"),
            audience=source.get("AUDIENCE"),
            public_base_url=source.parse("PUBLIC_BASE_URL", _base_url, None),
            cors_allowed_origins=source.parse("CORS_ALLOWED_ORIGINS", _origins, ()),
            settle_delay_seconds=source.parse("SETTLE_DELAY", _seconds, 60.0),
            max_instance_bytes=source.parse("MAX_INSTANCE_BYTES", _positive, 2_147_483_647),
            inbox_trigger=source.parse("INBOX_TRIGGER", _inbox_trigger, "event-grid"),
        )
        source.complain()
        return settings


class _Source:
    """The variables, and what was wrong with those read so far."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    @property
    def on_azure(self) -> bool:
        return runs_on_azure(self._environment)

    def get(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None

    def parse(self, name: str, parser: Callable[[str], T], default: T) -> T:
        text = self.get(name)
        if text is None:
            return default
        try:
            return parser(text)
        except ValueError as error:
            self.reject(f"{name} {error}")
            return default

    def reject(self, problem: str) -> None:
        self._problems.append(problem)

    def complain(self) -> None:
        if self._problems:
            raise NotConfigured("The service is not configured: " + "; ".join(self._problems) + ".")


def _storage(source: _Source) -> StorageSettings:
    data_dir = source.get("STORAGE_DATA_DIR")
    return _embedded(source, Path(data_dir)) if data_dir else _azure(source)


def _embedded(source: _Source, data_dir: Path) -> StorageSettings:
    if source.on_azure:
        source.reject("STORAGE_DATA_DIR is for a local run: a function app's disk does not last")
    inbox_dir = source.get("STORAGE_INBOX_DIR")
    return StorageSettings(
        kind="embedded",
        data_dir=data_dir,
        inbox_dir=Path(inbox_dir) if inbox_dir else None,
        merge_writes=source.parse("STORAGE_MERGE_WRITES", _boolean, default=True),
    )


def _azure(source: _Source) -> StorageSettings:
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


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an http(s) URL without query")
    return text.rstrip("/")


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    if "*" in origins:
        raise ValueError("must list origins; a wildcard is not taken")
    return origins


_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text) or not 0 < float(text) <= 3600:
        raise ValueError("must be above 0 and at most 3600 seconds")
    return float(text)


def _positive(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) == 0:
        raise ValueError("must be a whole number above 0")
    return int(text)


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _inbox_trigger(text: str) -> InboxTrigger:
    if text == "event-grid":
        return "event-grid"
    if text == "queue":
        return "queue"
    raise ValueError("must be event-grid or queue")
