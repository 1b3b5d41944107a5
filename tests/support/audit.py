"""The audit trail, as tests read and disturb it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.counting import CountingBlobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.access import Caller, DataAction
    from shared.errors import StorageFailure
    from shared.ports import BlobStore

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class EverybodyIs:
    """Takes everybody for one caller, who may do everything."""

    caller: Caller

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:
        return self.caller


@dataclass
class ShakyBlobs(CountingBlobs):
    """Blobs to which appending takes time, and fails as often as told.

    Attributes
    ----------
    failures
        Raised by the next appends, one each.
    lost
        Whether an append that fails has been done all the same.
    """

    failures: list[StorageFailure] = field(default_factory=list)
    lost: bool = False
    seconds: float = 0.01

    async def append(self, container: str, name: str, data: bytes, *, offset: int) -> None:
        await asyncio.sleep(self.seconds)
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or self.lost:
            await super().append(container, name, data, offset=offset)
        if failure is not None:
            raise failure


async def read_trail(blobs: BlobStore) -> list[Json]:
    """Give all records, in the order of blobs and lines."""
    names = [blob.name async for page in blobs.list("audit") for blob in page]
    return [event for name in names for event in parse_lines((await blobs.read("audit", name)).splitlines())]


def parse_lines(lines: Iterable[bytes | str]) -> list[Json]:
    return [json.loads(line) for line in lines]


def details(event: Json) -> dict[str, str]:
    """Give method, transaction and right of a record."""
    return {each["type"]: each["valueString"] for each in event["entity"][-1]["detail"]}


def studies(event: Json) -> list[str]:
    """Give the Study Instance UIDs of a record."""
    values = [entity["what"]["identifier"]["value"] for entity in event["entity"][:-1]]
    assert all(value.startswith("urn:oid:") for value in values)
    return [value.removeprefix("urn:oid:") for value in values]


def status(event: Json) -> int:
    return int(event["outcomeDesc"].removeprefix("HTTP "))
