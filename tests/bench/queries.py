"""The classes of query that viewers and archives send, and what each must find."""

from __future__ import annotations

import calendar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tests.bench.instances import Instance

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"

Query = tuple[str, str, "set[str] | int"]
"""A path, the tag that identifies its rows, and which rows or how many must come."""


def query_classes(made: Sequence[Instance], rng: random.Random) -> dict[str, Callable[[], Query]]:
    """Give the classes of query by name; each call of one asks for something else."""
    studies = list({instance.study: instance for instance in made}.values())

    def pick() -> Instance:
        return rng.choice(studies)

    def same(attribute: str, wanted: Instance) -> set[str]:
        return {one.study for one in studies if getattr(one, attribute) == getattr(wanted, attribute)}

    def by(attribute: str, keyword: str) -> Callable[[], Query]:
        def query() -> Query:
            wanted = pick()
            return f"/studies?{keyword}={getattr(wanted, attribute)}", STUDY, same(attribute, wanted)

        return query

    def month() -> Query:
        begin = pick().study_date[:6]
        found = {one.study for one in studies if one.study_date.startswith(begin)}
        return f"/studies?StudyDate={begin}01-{begin}{_last_day(begin)}&limit=200", STUDY, found

    def name_prefix() -> Query:
        begin = pick().patient_name[:4]
        return f"/studies?PatientName={begin}*&limit=100", STUDY, {s.study for s in studies if s.patient_name.startswith(begin)}

    def series_of() -> Query:
        wanted = pick()
        return f"/studies/{wanted.study}/series", SERIES, {one.series for one in made if one.study == wanted.study}

    def instances_of() -> Query:
        wanted = pick()
        return (
            f"/studies/{wanted.study}/series/{wanted.series}/instances",
            INSTANCE,
            {i.instance for i in made if i.series == wanted.series},
        )

    return {
        "PatientID": by("patient_id", "PatientID"),
        "PatientID, no match": lambda: (f"/studies?PatientID=ABSENT{rng.randrange(10**6)}", STUDY, set()),
        "StudyInstanceUID": by("study", "StudyInstanceUID"),
        "AccessionNumber": by("accession_number", "AccessionNumber"),
        "StudyDate, a month": month,
        "PatientName, ABCD*": name_prefix,
        "all studies, limit 100": lambda: ("/studies?limit=100", STUDY, min(100, len(studies))),
        "all studies, last page": lambda: (f"/studies?limit=50&offset={max(0, len(studies) - 50)}", STUDY, min(50, len(studies))),
        "series of a study": series_of,
        "instances of a series": instances_of,
    }


def _last_day(month: str) -> int:
    return calendar.monthrange(int(month[:4]), int(month[4:]))[1]
