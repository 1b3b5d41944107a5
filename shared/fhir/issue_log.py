"""What kept a study, or a value of it, from FHIR: table ``fhirsyncissues``, for the operator. No patient's value is in it.

Rows
    ``{study partition}`` | ``{class}~{h(series, instance)}~{code}~{keyword}``   one issue, with its UIDs, count and times
    ``listed~00`` … ``listed~15`` | ``{study partition}``                     studies that have issues, for the listing
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from shared.catalog.keys import spread
from shared.fhir.issues import Issue, IssueClass, IssueCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable

    from shared.catalog.keys import ArchiveKey
    from shared.ports import Entity, Scalar, TableStore

TABLE = "fhirsyncissues"
LISTS = tuple(f"listed~{n:02d}" for n in range(16))
MOST_PER_STUDY = 100
"""More are told by code and keyword, without saying where."""
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class LoggedIssue:
    """An issue as it is kept; times are Unix milliseconds."""

    study_instance_uid: str
    issue: Issue
    count: int
    first_seen_ms: int
    last_seen_ms: int
    resolved: bool

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        issue = {name: str(value) if isinstance(value, str) else value for name, value in asdict(self.issue).items()}
        row: dict[str, Scalar] = {"schema": _SCHEMA, **issue, "study_instance_uid": self.study_instance_uid, "count": self.count}
        return {**row, "first_seen_ms": self.first_seen_ms, "last_seen_ms": self.last_seen_ms, "resolved": self.resolved}

    @classmethod
    def from_entity(cls, entity: Entity) -> LoggedIssue:
        """Read the row."""
        p: Any = entity.properties
        names = [name for name in Issue.__dataclass_fields__ if name not in {"issue_class", "code"}]
        issue = Issue(IssueClass(p["issue_class"]), IssueCode(p["code"]), **{name: p[name] for name in names})
        return cls(p["study_instance_uid"], issue, p["count"], p["first_seen_ms"], p["last_seen_ms"], p["resolved"])


class IssueLog:
    """Keeps the issues of studies."""

    def __init__(self, tables: TableStore, key: ArchiveKey) -> None:
        self._tables, self._key = tables, key

    async def record(
        self,
        partition_key: str,
        study_instance_uid: str,
        issues: Collection[Issue],
        now_ms: int,
        settled: Collection[IssueClass] = tuple(IssueClass),
    ) -> None:
        """Take up the issues of one attempt; others of the classes that the attempt has ``settled`` are resolved."""
        kept = {row_key: logged async for row_key, logged in self._rows(partition_key)}
        if not issues and all(logged.resolved for logged in kept.values()):
            return
        met = {self._row_key(issue): (issue, count) for issue, count in _summed(issues).items()}
        changed: dict[str, LoggedIssue] = {}
        for row_key, (issue, count) in met.items():
            old = kept.get(row_key)
            before = 0 if old is None or old.resolved else old.count
            first = now_ms if old is None or old.resolved else old.first_seen_ms
            changed[row_key] = LoggedIssue(study_instance_uid, issue, before + count, first, now_ms, resolved=False)
        gone = {k: v for k, v in kept.items() if k not in met and not v.resolved and v.issue.issue_class in settled}
        changed |= {k: replace(v, resolved=True, last_seen_ms=now_ms) for k, v in gone.items()}
        if not kept:
            await self._tables.upsert_many(TABLE, [(spread(partition_key, LISTS), partition_key, {"schema": _SCHEMA})])
        await self._tables.upsert_many(TABLE, [(partition_key, row_key, logged.properties()) for row_key, logged in changed.items()])

    async def of_study(self, partition_key: str) -> list[LoggedIssue]:
        """Read the issues of a study, resolved ones too."""
        return [logged async for _, logged in self._rows(partition_key)]

    async def studies(self, after: tuple[int, str] = (0, "")) -> AsyncIterator[tuple[int, str]]:
        """Give the studies that have, or had, issues: list number and study partition, in order, from behind ``after``."""
        for number in range(after[0], len(LISTS)):
            start = after[1] + "!" if number == after[0] and after[1] else ""  # "!" sorts before all that a longer key could go on with
            async for page in self._tables.pages(TABLE, LISTS[number], start=start):
                for entity in page:
                    yield number, entity.row_key

    async def _rows(self, partition_key: str) -> AsyncIterator[tuple[str, LoggedIssue]]:
        async for page in self._tables.pages(TABLE, partition_key):
            for entity in page:
                yield entity.row_key, LoggedIssue.from_entity(entity)

    def _row_key(self, issue: Issue) -> str:
        where = self._key.h("issue", issue.series_instance_uid, issue.sop_instance_uid)
        return f"{issue.issue_class}~{where}~{issue.code}~{issue.keyword}"


def _summed(issues: Iterable[Issue]) -> Counter[Issue]:
    """Count equal issues; too many are told without their places."""
    counted = Counter(issues)
    if len(counted) <= MOST_PER_STUDY:
        return counted
    summed: Counter[Issue] = Counter()
    for issue, count in counted.items():
        summed[replace(issue, series_instance_uid="", sop_instance_uid="")] += count
    return summed
