"""Measure what it costs to project a study to FHIR, in processor time: ``python -m tests.bench.fhir --instances 1000``.

Inflating the stored metadata, gathering what it says, making the resources and their digest: all that a
synchronisation does but for the requests to storage and to the FHIR server. The instances are CT slices that differ
as slices do: in number, position, time and UIDs.
"""

from __future__ import annotations

import argparse
import statistics
import time
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from shared.dicom.instance import Rules, parse_instance
from shared.fhir.context import Context
from shared.fhir.evidence import InstanceFacts, gather
from shared.fhir.json_text import digest
from shared.fhir.projection import project
from tests.bench.instances import Factory, Kind
from tests.support.fhir_world import FHIR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main() -> None:
    """Project a study several times and print the milliseconds it took."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.fhir", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, default=1000, help="of the study (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="how often it is projected (default: %(default)s)")
    chosen = parser.parse_args()
    study, stored = _make(chosen.instances)
    _project(study, stored)
    took = [_timed(study, stored) for _ in range(chosen.repeats)]
    size = sum(len(zlib.decompress(deflated)) for _, deflated in stored) // len(stored)
    print(f"{chosen.instances} instances of {size} bytes of metadata: CPU ms best {min(took):.0f}, median {statistics.median(took):.0f}")  # noqa: T201 -- a command's answer


def _timed(study: str, stored: Sequence[tuple[InstanceFacts, bytes]]) -> float:
    started = time.process_time()
    _project(study, stored)
    return 1000 * (time.process_time() - started)


def _project(study: str, stored: Sequence[tuple[InstanceFacts, bytes]]) -> None:
    evidence = gather(study, ((facts, zlib.decompress(deflated)) for facts, deflated in stored))
    projection = project(evidence, Context(FHIR, FHIR.service_root, datetime.now(UTC).date()))
    digest(projection.study.resource)


def _make(count: int) -> tuple[str, list[tuple[InstanceFacts, bytes]]]:
    (instance,) = Factory(Kind.HEADERS, "fhir").make(1)
    parsed = parse_instance(instance.data, rules=Rules.V2)
    return instance.study, list(_slices(orjson.loads(parsed.metadata), instance.series, count))


def _slices(metadata: dict[str, Any], series: str, count: int) -> Iterator[tuple[InstanceFacts, bytes]]:
    for number in range(1, count + 1):
        sop_instance_uid = f"{series}.{number}"
        own = {
            "00080018": sop_instance_uid,
            "00200013": number,
            "00201041": number * 1.25,
            "00080033": f"1015{number % 60:02d}.{number:06d}",
        }
        position = {"00200032": {"vr": "DS", "Value": [-125, -125, number * 1.25]}}
        varied = {tag: {**metadata.get(tag, {}), "Value": [value]} for tag, value in own.items()}
        deflated = zlib.compress(orjson.dumps({**metadata, **varied, **position}))
        yield InstanceFacts(series, sop_instance_uid, "1.2.840.10008.5.1.4.1.1.2", number, number, 526_000), deflated


if __name__ == "__main__":
    main()
