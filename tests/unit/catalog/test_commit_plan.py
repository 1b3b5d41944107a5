"""What a commit writes, as a pure function of what was read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.system_clock import SystemClock
from shared.catalog.changes import Change, DeleteInstance, Outcome, StoreInstance
from shared.catalog.commit_plan import Plan, Stamp, StudyState, make_plan
from shared.catalog.keys import ArchiveKey
from shared.catalog.records import InstanceRecord, SeriesRecord, StudyRecord
from shared.ports import Create, Remove, Replace
from tests.support.changes import element, store_change

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = ArchiveKey("k", b"secret")
PARTITION = KEY.study_partition("1", "1.2")
CLOCK = SystemClock()
NOW_MS = 1_700_000_000_000


def plan(batch: Sequence[Change], state: StudyState | None = None) -> Plan:
    state = state or StudyState(PARTITION, None, {c.series_instance_uid: None for c in batch})
    return make_plan(KEY, "1.2", state, batch, Stamp(NOW_MS, "rev", "k"), "attempt")


def after(first: Plan) -> StudyState:
    """Give the state as it is read once a plan is committed."""
    rows: dict[str, Any] = {o.row_key: o.properties for o in first.operations if isinstance(o, Create | Replace)}
    assert first.study is not None
    study = replace(first.study, etag="s")
    series = [
        SeriesRecord("1.2.3", p["attributes"], p["modality"], p["instance_count"], etag="r")
        for k, p in rows.items()
        if k.startswith("series")
    ]
    instances = {
        k: InstanceRecord("1.2", "1.2.3", "x", blob_name=p["blob_name"], sha256=p["sha256"], etag="i")
        for k, p in rows.items()
        if k.startswith("instance")
    }
    return StudyState(PARTITION, study, {s.series_instance_uid: s for s in series}, dict(instances))


def store(instance: str = "1.2.3.4", *, replaces: bool = False, modality: str = "CT", **attributes: Any) -> StoreInstance:
    return store_change("1.2", "1.2.3", instance, clock=CLOCK, replace=replaces, modality=modality, **attributes)


def sk_of(plan: Plan) -> str:
    assert plan.study is not None
    return plan.study.sk


def kinds(plan: Plan) -> list[str]:
    return [f"{type(o).__name__} {o.row_key.partition('~')[0]}" for o in plan.operations]


def test_the_first_instance_creates_all_rows() -> None:
    made = plan([store()])
    assert kinds(made) == ["Create instance", "Create series", "Create study", "Create outbox"]
    assert made.study is not None
    assert (made.study.instance_count, made.study.series_count, made.study.series_per_modality) == (1, 1, {"CT": 1})


def test_a_new_study_begins_at_unix_milliseconds() -> None:
    made = plan([store()])
    assert made.commit is not None
    assert (made.commit.version, made.commit.first) == (NOW_MS, True)


def test_a_second_instance_rewrites_study_and_series_under_their_etags() -> None:
    made = plan([store("1.2.3.5")], after(plan([store()])))
    assert kinds(made) == ["Create instance", "Replace series", "Replace study", "Create outbox"]
    assert [o.etag for o in made.operations if isinstance(o, Replace)] == ["r", "s"]


def test_equal_terms_keep_the_sort_key_and_need_no_term_rows() -> None:
    made = plan([store("1.2.3.5")], after(plan([store()])))
    assert made.study is not None
    assert made.new_terms is False
    assert sk_of(made) == sk_of(plan([store()]))


@pytest.mark.parametrize(
    ("attributes", "modality"),
    [({"T00100020": element("LO", "P2")}, "CT"), ({"T00080020": element("DA", "20250101")}, "CT"), ({}, "MR")],
    ids=["patient", "date", "modality"],
)
def test_other_terms_make_a_new_sort_key(attributes: dict[str, Any], modality: str) -> None:
    state = after(plan([store()]))
    made = make_plan(KEY, "1.2", state, [store("1.2.3.5", modality=modality, **attributes)], Stamp(NOW_MS, "new", "k"), "a")
    assert made.new_terms


def test_the_newest_value_wins_and_an_empty_one_does_not() -> None:
    made = plan([store(T00100020=element("LO", "P2"), T00081030=element("LO", "HEAD")), store("1.2.3.5", T00100020=element("LO"))])
    assert made.study is not None
    dataset = made.study.dataset()
    assert (dataset["00100020"]["Value"], dataset["00081030"]["Value"]) == (["P2"], ["HEAD"])


def test_attributes_stand_in_the_order_of_tags() -> None:
    made = plan([store(T00081030=element("LO", "HEAD"))])
    assert made.study is not None
    assert list(made.study.dataset()) == ["00080020", "00081030", "00100010", "00100020"]


def test_another_patient_in_the_study_is_told() -> None:
    made = plan([store(), store("1.2.3.5", T00100020=element("LO", "P2"))])
    assert [r.patient_differs for r in made.results] == [False, True]


def test_a_stored_instance_is_a_duplicate() -> None:
    made = plan([store()], after(plan([store()])))
    assert [(r.outcome, r.identical) for r in made.results] == [(Outcome.DUPLICATE, False)]
    assert made.operations == ()


def test_the_same_bytes_are_an_identical_duplicate() -> None:
    change = store()
    state = after(plan([change]))
    again = replace(change, record=replace(change.record, blob_name="another"))
    assert plan([again], state).results[0].identical


def test_an_instance_that_names_our_blob_is_our_commit() -> None:
    change = store()
    assert plan([change], after(plan([change]))).results[0].outcome is Outcome.STORED


def test_a_duplicate_does_not_keep_the_others_from_being_stored() -> None:
    made = plan([store(), store("1.2.3.5")], after(plan([store()])))
    assert [r.outcome for r in made.results] == [Outcome.DUPLICATE, Outcome.STORED]
    assert made.changed == (1,)


def test_replace_rewrites_the_row_and_counts_nothing() -> None:
    made = plan([store(replaces=True)], after(plan([store()])))
    assert kinds(made)[0] == "Replace instance"
    assert (made.results[0].outcome, made.study and made.study.instance_count) == (Outcome.REPLACED, 1)


def test_replace_with_the_same_bytes_changes_nothing() -> None:
    change = store(replaces=True)
    state = after(plan([change]))
    again = replace(change, record=replace(change.record, blob_name="another"))
    assert plan([again], state).results[0].outcome is Outcome.UNCHANGED


def test_the_last_instance_empties_the_study_row_and_takes_its_series_along() -> None:
    made = plan([DeleteInstance("1.2.3", "1.2.3.4")], after(plan([store()])))
    assert kinds(made) == ["Remove instance", "Remove series", "Replace study", "Create outbox"]
    assert made.study is not None
    assert (made.study.instance_count, made.study.attributes, made.study.sk) == (0, b"{}", "")


def test_an_emptied_study_goes_on_with_its_versions_and_gets_a_new_sort_key() -> None:
    emptied = plan([DeleteInstance("1.2.3", "1.2.3.4")], after(plan([store()])))
    assert emptied.study is not None
    state = StudyState(PARTITION, replace(emptied.study, etag="s"), {"1.2.3": None})
    made = plan([store()], state)
    assert made.commit is not None
    assert (made.commit.version, made.new_terms) == (NOW_MS + 2, True)


def test_what_is_not_there_cannot_be_deleted() -> None:
    made = plan([DeleteInstance("1.2.3", "9")], after(plan([store()])))
    assert (made.results[0].outcome, made.operations) == (Outcome.ABSENT, ())


def test_delete_and_store_in_one_commit_keep_the_series() -> None:
    made = plan([DeleteInstance("1.2.3", "1.2.3.4"), store("1.2.3.5")], after(plan([store()])))
    assert kinds(made) == ["Remove instance", "Create instance", "Replace series", "Replace study", "Create outbox"]
    assert not any(isinstance(o, Remove) and o.row_key.startswith("series") for o in made.operations)


def test_rows_that_do_not_agree_still_make_a_plan() -> None:
    """They were not read at one instant; the transaction fails on an ETag."""
    series = SeriesRecord("1.2.3", b"{}", "SR", 3, etag="old")
    study = StudyRecord("1.2", series_per_modality={"CT": 1}, series_count=1, instance_count=1, version=5, etag="s")
    state = StudyState(PARTITION, study, {"1.2.3": series})
    assert plan([store(modality="MR")], state).operations
