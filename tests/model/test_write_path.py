"""The write path against storage that misbehaves: no rule of it may be missing.

Each run plays some forty requests of six senders through three processes that crash and are replaced, over
tables that lose requests, answers, and carry requests out late. At every commit, and at the end, the world is
checked (``tests.model.world``, ``tests.model.scenario``). Then every rule is broken in turn, and must be missed.

``MODEL_RUNS`` sets how many runs of the right code are played.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.catalog import commit_plan, keys, publisher, studies, terms
from shared.catalog.cover import Cover
from shared.catalog.publisher import FeedPublisher
from shared.catalog.studies import Committer
from shared.errors import AlreadyPresent, OutcomeUnknown, PreconditionFailed
from shared.ports import Create, Operation, Upsert
from shared.services.settle import SettleService
from tests.model.scenario import Run, first_broken
from tests.model.world import ModelTables, Rates

RUNS = int(os.environ.get("MODEL_RUNS", "300"))
RUNS_TO_FIND_A_BUG = 150
ROUGH = Rates(lost_answer=0.08, late_effect=0.08, crash=0.003, pause=0.03)


def test_no_run_breaks_a_promise() -> None:
    assert first_broken(range(RUNS)) is None


def test_no_rough_run_breaks_a_promise() -> None:
    assert first_broken(range(RUNS // 2), lambda seed: Run(seed, ROUGH)) is None


def test_lost_messages_are_made_up_for_by_the_sweeper() -> None:
    lossy = replace(ROUGH, lost_message=0.4)
    assert first_broken(range(RUNS // 3), lambda seed: Run(seed, lossy)) is None


Patch = Callable[[pytest.MonkeyPatch], None]


def _no_cover(patch: pytest.MonkeyPatch) -> None:
    async def ensure(*_: object) -> None:
        return

    patch.setattr(Cover, "ensure", ensure)


def _cover_only_once(patch: pytest.MonkeyPatch) -> None:
    """Take a settle message of any age for a cover."""
    real = Cover.ensure

    async def ensure(self: Any, partition_key: str) -> None:
        if partition_key not in self._sent:
            await real(self, partition_key)

    patch.setattr(Cover, "ensure", ensure)


def _hints_after_commit(patch: pytest.MonkeyPatch) -> None:
    real_send, real_hints = Committer._send, Committer._write_hints

    async def no_hints(*_: object) -> None:
        return

    async def send(self: Any, partition_key: str, plan: Any, oldest: float) -> Any:
        verdict = await real_send(self, partition_key, plan, oldest)
        await real_hints(self, plan, None)
        return verdict

    patch.setattr(Committer, "_write_hints", no_hints)
    patch.setattr(Committer, "_send", send)


def _terms_under_the_old_sort_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(terms, "same_terms", lambda *_: True)


def _sort_key_used_twice(patch: pytest.MonkeyPatch) -> None:
    """Write another attempt's terms under the sort key of the first."""
    patch.setattr(keys, "sort_key", lambda date, created, suffix, _revision: f"{date}~{created}~{suffix}~same")


def _unknown_taken_for_committed(patch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object) -> Any:
        return studies._Verdict.COMMITTED

    patch.setattr(Committer, "_look_up", look_up)


def _unknown_taken_for_failed(patch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object) -> Any:
        return studies._Verdict.STALE

    patch.setattr(Committer, "_look_up", look_up)


def _refusal_after_unknown_believed(patch: pytest.MonkeyPatch) -> None:
    """Repeat a lost transaction inside the adapter, as an SDK does, and believe the refusal that follows."""
    real = ModelTables.transact

    async def transact(self: Any, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        for _ in range(3):
            try:
                return await real(self, table, partition_key, operations)
            except OutcomeUnknown:
                continue
        return await real(self, table, partition_key, operations)

    patch.setattr(ModelTables, "transact", transact)


def _marker_not_looked_up(patch: pytest.MonkeyPatch) -> None:
    """Look in the outbox only: a commit that was published meanwhile seems never to have happened."""

    async def look_up(self: Any, plan: Any) -> Any:
        row = await self._tables.get(keys.CATALOG, plan.commit.partition_key, keys.outbox_row(plan.commit.version))
        ours = row is not None and row.properties["attempt_id"] == plan.commit.attempt_id
        return studies._Verdict.COMMITTED if ours else studies._Verdict.STALE

    patch.setattr(Committer, "_look_up", look_up)


def _another_attempts_version_taken_for_ours(patch: pytest.MonkeyPatch) -> None:
    real: Any = commit_plan.make_plan

    def make_plan(*args: Any) -> Any:
        return real(*args[:-1], "the same for all")

    patch.setattr(studies, "make_plan", make_plan)


def _study_row_without_condition(patch: pytest.MonkeyPatch) -> None:
    real: Any = commit_plan.make_plan

    def make_plan(*args: Any) -> Any:
        plan = real(*args)
        loose = (Upsert(o.row_key, o.properties) if o.row_key == keys.STUDY_ROW else o for o in plan.operations)
        return replace(plan, operations=tuple(loose))

    patch.setattr(studies, "make_plan", make_plan)


def _two_changes_of_an_instance_in_one_commit(patch: pytest.MonkeyPatch) -> None:
    def take(pending: Any) -> Any:
        batch = list(pending)[:90]
        for _ in batch:
            pending.popleft()
        return batch

    patch.setattr(studies, "_take_batch", take)


def _published_without_marker(patch: pytest.MonkeyPatch) -> None:
    real = publisher._transaction

    def transaction(*args: Any) -> Any:
        operations, moved = real(*args)
        return [o for o in operations if not o.row_key.startswith("published~")], moved

    patch.setattr(publisher, "_transaction", transaction)


def _marker_overwritten(patch: pytest.MonkeyPatch) -> None:
    real: Any = publisher._transaction

    def transaction(*args: Any) -> Any:
        operations, moved = real(*args)
        loose = [Upsert(o.row_key, o.properties) if o.row_key.startswith("published~") else o for o in operations]
        return loose, moved

    patch.setattr(publisher, "_transaction", transaction)


def _older_commits_not_published_along(patch: pytest.MonkeyPatch) -> None:
    async def older(*_: object) -> list[Any]:
        return []

    patch.setattr(FeedPublisher, "_older", older)


def _outbox_dropped_before_publishing(patch: pytest.MonkeyPatch) -> None:
    real = FeedPublisher._publish

    async def publish(self: Any, commits: Any) -> None:
        await self._drop(commits)
        await real(self, commits)

    patch.setattr(FeedPublisher, "_publish", publish)


def _clock_not_held_to_the_heads(patch: pytest.MonkeyPatch) -> None:
    real = publisher._transaction

    def transaction(commits: Any, head: Any, now_ms: int) -> Any:
        operations, moved = real(commits, replace(head, timestamp_ms=0), now_ms)
        return operations, moved

    patch.setattr(publisher, "_transaction", transaction)


def _settle_does_nothing(patch: pytest.MonkeyPatch) -> None:
    async def settle(*_: object) -> None:
        return

    patch.setattr(SettleService, "settle", settle)


def _settle_finishes_although_it_failed(patch: pytest.MonkeyPatch) -> None:
    async def send(*_: object) -> None:
        return

    real = SettleService.settle

    async def settle(self: Any, body: str) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Cover, "send", send)
            await real(self, body)

    async def publish_outbox(self: Any, partition_key: str) -> bool:
        raise OutcomeUnknown("always")

    patch.setattr(FeedPublisher, "publish_outbox", publish_outbox)
    patch.setattr(SettleService, "settle", settle)


def _conflict_fails_the_batch(patch: pytest.MonkeyPatch) -> None:
    """Answer every instance of a commit as the one that met a stored one."""
    real = studies._verdict

    def verdict(plan: Any, error: AlreadyPresent | PreconditionFailed) -> Any:
        if isinstance(error, AlreadyPresent) and isinstance(plan.operations[error.index], Create):
            return studies._Verdict.COMMITTED
        return real(plan, error)

    patch.setattr(studies, "_verdict", verdict)


BUGS: list[Patch] = [
    _no_cover,
    _cover_only_once,
    _hints_after_commit,
    _terms_under_the_old_sort_key,
    _sort_key_used_twice,
    _unknown_taken_for_committed,
    _unknown_taken_for_failed,
    _refusal_after_unknown_believed,
    _marker_not_looked_up,
    _another_attempts_version_taken_for_ours,
    _study_row_without_condition,
    _two_changes_of_an_instance_in_one_commit,
    _published_without_marker,
    _marker_overwritten,
    _older_commits_not_published_along,
    _outbox_dropped_before_publishing,
    _clock_not_held_to_the_heads,
    _settle_does_nothing,
    _settle_finishes_although_it_failed,
    _conflict_fails_the_batch,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__.strip("_"))
def test_a_missing_rule_is_missed(bug: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    assert first_broken(range(RUNS_TO_FIND_A_BUG), lambda seed: Run(seed, ROUGH)) is not None
