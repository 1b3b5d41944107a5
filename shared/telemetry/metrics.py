"""Every metric there is: its name, unit and meaning. ``docs/operations.md`` lists them, alert rules ask for them by name.

Dimensions are of small closed sets: route templates, status codes, names of functions, tables and queues, classes of
errors. Never a path, a UID, a key, a file name or anything else that a caller made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Dimensions: TypeAlias = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; ``unit`` as UCUM writes it."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a gauge."""

    metric: Metric
    value: float
    dimensions: Dimensions = field(default_factory=dict)


REQUEST_DURATION = Metric("archive.request.duration", "s", "From the arrival of a request to the first byte of its answer")
TRIGGER_DURATION = Metric("archive.trigger.duration", "s", "Runs of functions that are not HTTP")
STORAGE_DURATION = Metric("archive.storage.duration", "s", "Calls of blob, table and queue storage")
DURATIONS = (REQUEST_DURATION, TRIGGER_DURATION, STORAGE_DURATION)

QUEUE_MESSAGES = Metric("archive.queue.messages", "{message}", "About how many messages a queue holds, hidden ones too")
QUEUE_AGE = Metric("archive.queue.oldest.age", "s", "For how long the oldest message that can be seen has been there")
FEED_LAG = Metric("archive.feed.lag", "s", "How long the oldest settle message is overdue")
FHIR_LAG = Metric("archive.fhir.lag", "s", "For how long the oldest study that is to be written has been waiting")
FHIR_STUDIES = Metric("archive.fhir.studies", "{study}", "Studies that are not in step")
FHIR_PAUSED = Metric("archive.fhir.paused", "1", "1 while writing to the FHIR server is paused")
HEALTH = Metric("archive.health", "1", "1 where a check of health passes, 0 where it fails")
GAUGES = (QUEUE_MESSAGES, QUEUE_AGE, FEED_LAG, FHIR_LAG, FHIR_STUDIES, FHIR_PAUSED, HEALTH)
