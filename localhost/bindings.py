"""What a function app says about its functions: their triggers, read from the bindings' JSON.

Both engines give the same JSON, the one that the real host reads. App settings in percent signs
(``%QUEUE_NAME%``) are filled in, and functions that an app setting ``AzureWebJobs.<name>.Disabled`` switches off are left out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from localhost.ncrontab import Schedule, parse_schedule
from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_PERCENT_NAME = re.compile(r"%([^%]+)%")


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Fired by a request; ``methods`` are upper case, None takes any."""

    parameter: str
    route: str
    methods: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Fired by a message."""

    parameter: str
    queue: str


@dataclass(frozen=True, slots=True)
class BlobTrigger:
    """Fired by a blob that was created or overwritten."""

    parameter: str
    container: str
    connection: str


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """Fired by the clock."""

    parameter: str
    schedule: Schedule
    run_on_startup: bool


Trigger: TypeAlias = HttpTrigger | QueueTrigger | BlobTrigger | TimerTrigger


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app."""

    name: str
    trigger: Trigger


def read_functions(described: Iterable[tuple[str, Iterable[str]]], settings: Mapping[str, str]) -> list[Function]:
    """Read the enabled functions, in the order of their names.

    Parameters
    ----------
    described
        For each function its name and the JSON of each of its bindings.
    settings
        App settings, that is, environment variables.

    Raises
    ------
    StartupProblem
        A binding is not understood, or names an app setting that is not there.
    """
    functions = [_read_function(name, bindings, settings) for name, bindings in described if not _is_disabled(name, settings)]
    return sorted(functions, key=lambda function: function.name.lower())


def _is_disabled(name: str, settings: Mapping[str, str]) -> bool:
    return settings.get(f"AzureWebJobs.{name}.Disabled", "").lower() in {"true", "1"}


def _read_function(name: str, bindings: Iterable[str], settings: Mapping[str, str]) -> Function:
    triggers = []
    for binding in map(json.loads, bindings):
        if binding["type"] in _READERS:
            triggers.append(_READERS[binding["type"]](name, _fill_in(binding, settings)))
        elif binding["type"] != "http":
            raise StartupProblem(f"Function {name} has a binding of type {binding['type']}, which the local host does not know.")
    if len(triggers) != 1:
        raise StartupProblem(f"Function {name} has {len(triggers)} triggers instead of one.")
    return Function(name, triggers[0])


def _fill_in(binding: dict[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    def value_of(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise StartupProblem(f"A trigger names the app setting {match[1]}, which is not set.")
        return settings[match[1]]

    return {key: _PERCENT_NAME.sub(value_of, value) if isinstance(value, str) else value for key, value in binding.items()}


def _http(name: str, binding: dict[str, Any]) -> Trigger:
    methods = binding.get("methods")
    return HttpTrigger(
        parameter=binding["name"],
        route=binding.get("route") or name,
        methods=frozenset(str(method).upper() for method in methods) if methods else None,
    )


def _queue(_name: str, binding: dict[str, Any]) -> Trigger:
    return QueueTrigger(parameter=binding["name"], queue=binding["queueName"])


def _blob(_name: str, binding: dict[str, Any]) -> Trigger:
    return BlobTrigger(parameter=binding["name"], container=binding["path"].partition("/")[0], connection=binding["connection"])


def _timer(name: str, binding: dict[str, Any]) -> Trigger:
    try:
        schedule = parse_schedule(binding["schedule"])
    except ValueError as error:
        raise StartupProblem(f"Function {name}: its schedule is not understood: {error}") from error
    return TimerTrigger(parameter=binding["name"], schedule=schedule, run_on_startup=bool(binding.get("runOnStartup")))


_READERS: dict[str, Callable[[str, dict[str, Any]], Trigger]] = {
    "httpTrigger": _http,
    "queueTrigger": _queue,
    "blobTrigger": _blob,
    "timerTrigger": _timer,
}
