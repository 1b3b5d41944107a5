"""What operators ask about the synchronisation with FHIR: how it stands, and what kept studies or values from it.

No patient's value is in any answer; a study's UID is.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from shared.catalog.feed import to_ms
from shared.dicom.dictionary import tag_of_keyword
from shared.errors import Busy, InvalidRequest
from shared.fhir.issue_log import LISTS
from shared.fhir.issues import IssueClass, IssueCode
from shared.fhir.json_text import compact
from shared.fhir.server import FhirConfiguration, FhirError
from shared.fhir.state import OPEN_PARTITIONS, SyncStatus
from shared.services.fhir_outcomes import pause_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from shared.catalog.reading import CatalogReader
    from shared.fhir.issue_log import LoggedIssue
    from shared.fhir.issues import Issue
    from shared.fhir.server import FhirServer
    from shared.fhir.state import SyncState
    from shared.ports import Clock
    from shared.services.fhir_outcomes import FhirRecords

ISSUES_PER_PAGE = 100
"""A page is full with the study that brings it to so many: a study's issues are never parted."""
STUDIES_PER_PAGE = 1000
"""So many studies are looked at for one page, be it empty: there may be many with issues of another kind."""
_AT_ONCE = 16
_PLACE = re.compile(r"(0[0-9]|1[0-5])([0-9a-z~]{1,64})", re.ASCII)

_Choice = TypeVar("_Choice", bound=StrEnum)
_Place = tuple[int, str]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many studies are not in step; ``oldest_ms`` is since when the oldest dirty one is, 0 where none is."""

    dirty: int
    blocked: int
    dead: int
    oldest_ms: int


async def tally(state: SyncState) -> Tally:
    """Count the studies that are not in step."""
    counted = await asyncio.gather(*(_tally_list(state, number) for number in range(len(OPEN_PARTITIONS))))
    total = sum((counts for counts, _ in counted), Counter[SyncStatus]())
    oldest = min((oldest for _, oldest in counted if oldest), default=0)
    return Tally(total[SyncStatus.DIRTY], total[SyncStatus.BLOCKED], total[SyncStatus.DEAD], oldest)


async def _tally_list(state: SyncState, number: int) -> tuple[Counter[SyncStatus], int]:
    counts, oldest = Counter[SyncStatus](), 0
    async for page in state.open_pages(number):
        counts.update(row.status for row in page)
        dirty = [row.first_dirty_ms for row in page if row.status is SyncStatus.DIRTY and row.first_dirty_ms]
        oldest = min([*dirty, *([oldest] if oldest else [])], default=0)
    return counts, oldest


@dataclass(frozen=True, slots=True)
class IssueFilter:
    """Which issues are asked for: None takes any; resolved ones only where ``resolved`` says so."""

    issue_class: IssueClass | None = None
    code: IssueCode | None = None
    resolved: bool = False

    def takes(self, logged: LoggedIssue) -> bool:
        """Tell whether an issue is one of them."""
        issue = logged.issue
        return self.issue_class in {None, issue.issue_class} and self.code in {None, issue.code} and (self.resolved or not logged.resolved)


class FhirOperations:
    """Says how the synchronisation stands."""

    def __init__(self, records: FhirRecords, reader: CatalogReader, server: FhirServer, clock: Clock) -> None:
        self._state, self._issues, self._circuit = records.state, records.issues, records.circuit
        self._reader, self._server, self._clock = reader, server, clock

    async def status(self) -> dict[str, object]:
        """Say how many studies are not in step, for how long, and whether writing is paused."""
        now = self._now_ms()
        counted, circuit, last_ms = await asyncio.gather(tally(self._state), self._circuit.state(), self._circuit.last_success_ms())
        return {
            "enabled": True,
            "paused": circuit.paused_until_ms > now,
            "dirty": counted.dirty,
            "blocked": counted.blocked,
            "dead": counted.dead,
            "lagSeconds": max(now - counted.oldest_ms, 0) // 1000 if counted.oldest_ms else 0,
            "lastSync": _moment(last_ms) if last_ms else None,
        }

    async def check(self) -> None:
        """Say what keeps anything from being written; one request to storage, none to FHIR.

        Raises
        ------
        Busy
            Writing is paused.
        """
        circuit = await self._circuit.state()
        if circuit.paused_until_ms > self._now_ms():
            raise Busy(f"writing to FHIR is paused: {circuit.reason}")

    async def check_server(self) -> None:
        """Pause all writing where the server is not what we need: before the first study finds out, and for as long as it lasts."""
        try:
            await self._server.capabilities()
        except FhirConfiguration as error:
            _log.error("writing to FHIR is paused: %s, status %d", pause_code(error), error.status)
            await self._circuit.pause(self._now_ms(), str(pause_code(error)))
        except FhirError as error:
            _log.info("the FHIR server does not say what it is", extra={"status": error.status})

    async def issues(
        self,
        *,
        issue_class: str | None = None,
        code: str | None = None,
        study: str | None = None,
        after: str | None = None,
        resolved: bool = False,
    ) -> dict[str, object]:
        """List issues, a page at a time.

        Parameters
        ----------
        issue_class, code, study
            Only those; ``study`` is a valid UID, whose issues are all on one page.
        after
            ``next`` of the page before.
        resolved
            Those too that have been resolved.

        Raises
        ------
        InvalidRequest
            There is no such class or code, or ``after`` is not ours.
        """
        wanted = IssueFilter(_choice(IssueClass, issue_class, "class"), _choice(IssueCode, code, "code"), resolved)
        place = _read_place(after)
        if study is None:
            return await self._page(wanted, place)
        logged = await self._issues.of_study(self._reader.study_partition(study))
        return _issues_document(filter(wanted.takes, logged), None)

    async def _page(self, wanted: IssueFilter, after: _Place) -> dict[str, object]:
        found: list[LoggedIssue] = []
        looked_at = 0
        async for places in _some_at_once(self._issues.studies(after)):
            for place, logged in zip(places, await asyncio.gather(*(self._issues.of_study(key) for _, key in places)), strict=True):
                found += filter(wanted.takes, logged)
                looked_at += 1
                if len(found) >= ISSUES_PER_PAGE or looked_at >= STUDIES_PER_PAGE:
                    return _issues_document(found, place)
        return _issues_document(found, None)

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def _choice(choices: type[_Choice], text: str | None, name: str) -> _Choice | None:
    """Read one of a closed set of words; None where nothing was said.

    Raises
    ------
    InvalidRequest
        It is none of them.
    """
    if text is None:
        return None
    try:
        return choices(text)
    except ValueError as error:
        raise InvalidRequest(f"{name} must be one of {', '.join(choices)}.") from error


def issue_document(issue: Issue) -> dict[str, Any]:
    """Say what an issue is: class, code, DICOM keyword and tag, HTTP status; null where it has none. More where there is more."""
    always = {
        "class": str(issue.issue_class),
        "code": str(issue.code),
        "keyword": issue.keyword or None,
        "tag": tag_of_keyword(issue.keyword) if issue.keyword else None,
        "httpStatus": issue.http_status or None,
    }
    return always | compact(
        series=issue.series_instance_uid,
        instance=issue.sop_instance_uid,
        outcomeCode=issue.outcome_code,
        diagnostics=issue.diagnostics,
    )


def _issues_document(found: Iterable[LoggedIssue], place: _Place | None) -> dict[str, object]:
    return {"issues": [_logged_document(logged) for logged in found], "next": _write_place(place) if place else None}


def _logged_document(logged: LoggedIssue) -> dict[str, Any]:
    return {
        "study": logged.study_instance_uid,
        **issue_document(logged.issue),
        "count": logged.count,
        "firstSeen": _moment(logged.first_seen_ms),
        "lastSeen": _moment(logged.last_seen_ms),
        "resolved": logged.resolved,
    }


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _write_place(place: _Place) -> str:
    return base64.urlsafe_b64encode(f"{place[0]:02d}{place[1]}".encode()).decode().rstrip("=")


def _read_place(token: str | None) -> _Place:
    if token is None:
        return 0, ""
    try:
        place = _PLACE.fullmatch(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode())
    except ValueError:
        place = None
    if place is None or int(place[1]) >= len(LISTS):
        raise InvalidRequest("next must be what an earlier page gave.")
    return int(place[1]), place[2]


async def _some_at_once(places: AsyncIterator[_Place]) -> AsyncIterator[list[_Place]]:
    some: list[_Place] = []
    async for place in places:
        some.append(place)
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some
