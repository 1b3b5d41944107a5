"""The settings of ``host.json`` that the local host follows, and the body limit, an app setting."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BODY_LIMIT_SETTING = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
DEFAULT_BODY_LIMIT_BYTES = 4 * 1024**3
"""Azure's default is 100 MiB, since its host holds bodies in memory. Here they stream."""

_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(\.\d+)?")


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """``extensions.queues``: how messages are taken and given up.

    At most ``batch_size + new_batch_threshold`` messages of a queue are in work at once.
    """

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout_seconds: float = 0.0
    max_polling_interval_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What ``host.json`` and the app settings say to the host."""

    route_prefix: str = "api"
    body_limit_bytes: int = DEFAULT_BODY_LIMIT_BYTES
    queues: QueueOptions = QueueOptions()


def read_host_options(path: Path, settings: Mapping[str, str]) -> HostOptions:
    """Read ``host.json``; a missing file gives the host's defaults.

    Raises
    ------
    StartupProblem
        The file or the body limit is not understood.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise StartupProblem(f"{path.name} is not valid JSON: line {error.lineno}, column {error.colno}.") from error
    extensions = content.get("extensions", {})
    return HostOptions(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        body_limit_bytes=_body_limit(settings),
        queues=_queue_options(extensions.get("queues", {})),
    )


def _body_limit(settings: Mapping[str, str]) -> int:
    value = settings.get(BODY_LIMIT_SETTING, str(DEFAULT_BODY_LIMIT_BYTES))
    if not value.isdecimal():
        raise StartupProblem(f"{BODY_LIMIT_SETTING} is not a number of bytes.")
    return int(value)


def _queue_options(section: Mapping[str, Any]) -> QueueOptions:
    batch_size = section.get("batchSize", 16)
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=section.get("newBatchThreshold", batch_size // 2),
        max_dequeue_count=section.get("maxDequeueCount", 5),
        visibility_timeout_seconds=_seconds(section.get("visibilityTimeout", "00:00:00")),
        max_polling_interval_seconds=_seconds(section.get("maxPollingInterval", "00:01:00")),
    )


def _seconds(time_span: str) -> float:
    match = _TIME_SPAN.fullmatch(time_span)
    if match is None:
        raise StartupProblem(f"host.json: {time_span!r} is not a time span as 00:00:30.")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + float(match[5] or 0)
