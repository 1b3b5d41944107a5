"""The answer to a store request: outcomes of single instances → status, response dataset, warnings.

References
----------
PS3.18 10.5.3 "Response", I.2 "Store Instances Response"; PS3.4 Table B.2-1 "C-STORE Response Status Values".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from shared.dicomweb.resources import ApiVersion, retrieve_url
from shared.errors import InvalidDicom, InvalidRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.dicom.instance import Problem


class FailureReason(IntEnum):
    """Failure Reason (0008,1197): PS3.18 Table I.2-2 and, from B000 on, the predecessor's own."""

    PROCESSING_FAILURE = 0x0110
    """The archive could not store it; the same instance may be sent again."""
    VALIDATION_FAILED = 0xA900
    """No readable PS3.10 file, or one that lacks what every instance needs."""
    STUDY_MISMATCH = 0xA901
    """Its Study Instance UID is not the one of the request's path."""
    ALREADY_STORED = 0xB00E
    """An instance with these UIDs is stored; replace it with PUT."""


class WarningReason(IntEnum):
    """Warning Reason (0008,1196)."""

    ATTRIBUTE_WARNINGS = 0x0001
    """Stored; some attributes do not keep their VR's rules and are left out of metadata and search. The predecessor's own."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that is stored, its UIDs checked; ``multivalued`` says that an indexed attribute has several values."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    problems: tuple[Problem, ...] = ()
    multivalued: bool = False


MAX_ECHO = 256
"""Characters above which an identifier that could be read is not repeated: it is none, and there may be many."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance, or part, that is not stored; identifiers as far as they could be read, valid or not.

    ``identical``: the very same bytes are stored already. The inbox asks; the response does not tell. Nor does it name the study,
    which the audit trail has from here.
    """

    reason: FailureReason
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    problems: tuple[Problem, ...] = ()
    identical: bool = False
    study_instance_uid: str | None = None


Outcome: TypeAlias = Stored | Failed


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What to answer: ``body`` is ``application/dicom+json``, ``warnings`` are texts for the Warning header."""

    status: int
    body: bytes | None
    warnings: tuple[str, ...] = ()


_REASONS: dict[type[Exception], FailureReason] = {
    InvalidDicom: FailureReason.VALIDATION_FAILED,
    UnsupportedMediaType: FailureReason.VALIDATION_FAILED,
}


def failure_reason(error: Exception) -> FailureReason:
    """Give the failure reason of an instance that an error kept from being stored."""
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), FailureReason.PROCESSING_FAILURE)


_MULTIVALUED = "An attribute that should have one value has several; a search finds it by any of them."
_CUT_OFF = "The body ended before its closing boundary; what had not arrived whole is neither stored nor listed."


def build_report(
    outcomes: Sequence[Outcome], *, version: ApiVersion, service_url: str, study_instance_uid: str | None = None, cut_off: bool = False
) -> StoreReport:
    """Sum up a store request.

    Parameters
    ----------
    outcomes
        One for each part, in their order.
    version
        Of the API.
    service_url
        Absolute, for the Retrieve URLs.
    study_instance_uid
        Of the path, where there was one.
    cut_off
        The body ended early; ``outcomes`` are those of its whole parts.

    Raises
    ------
    InvalidRequest
        The body ended before its first part was whole.
    """
    stored = [outcome for outcome in outcomes if isinstance(outcome, Stored)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    if not outcomes:
        if cut_off:
            raise InvalidRequest("The body ended before its first part was whole; nothing is stored.")
        return StoreReport(204, None)
    dataset: dict[str, Any] = {}
    study = study_instance_uid or _common_study(stored)
    if stored and study:
        dataset["00081190"] = _value("UR", retrieve_url(service_url, study))
    if failed:
        dataset["00081198"] = _sequence([_failed_item(outcome) for outcome in failed])
    if stored:
        dataset["00081199"] = _sequence([_stored_item(outcome, version, service_url) for outcome in stored])
    warnings = [_MULTIVALUED] if any(outcome.multivalued for outcome in stored) else []
    warnings += [_CUT_OFF] if cut_off else []
    return StoreReport(_status(stored, complete=not failed and not cut_off, version=version), orjson.dumps(dataset), tuple(warnings))


def _status(stored: Sequence[Stored], *, complete: bool, version: ApiVersion) -> int:
    """PS3.18 Table 10.5.3-1: all stored, stored with failures or warnings, or none stored."""
    if not stored:
        return 409
    warned = version is ApiVersion.V2 and any(outcome.problems for outcome in stored)
    return 200 if complete and not warned else 202


def _common_study(stored: Sequence[Stored]) -> str | None:
    studies = {outcome.study_instance_uid for outcome in stored}
    return studies.pop() if len(studies) == 1 else None


def _stored_item(outcome: Stored, version: ApiVersion, service_url: str) -> dict[str, Any]:
    """PS3.18 Table I.2-1, Referenced SOP Sequence (0008,1199)."""
    url = retrieve_url(service_url, outcome.study_instance_uid, outcome.series_instance_uid, outcome.sop_instance_uid)
    item = {
        "00081150": _value("UI", outcome.sop_class_uid),
        "00081155": _value("UI", outcome.sop_instance_uid),
        "00081190": _value("UR", url),
    }
    if version is ApiVersion.V1:
        return item
    if outcome.problems:
        item["00081196"] = _value("US", WarningReason.ATTRIBUTE_WARNINGS)
    item["00741048"] = _failed_attributes(outcome.problems)
    return item


def _failed_item(outcome: Failed) -> dict[str, Any]:
    """PS3.18 Table I.2-1, Failed SOP Sequence (0008,1198)."""
    item: dict[str, Any] = {}
    for tag, uid in (("00081150", outcome.sop_class_uid), ("00081155", outcome.sop_instance_uid)):
        if uid and len(uid) <= MAX_ECHO:
            item[tag] = _value("UI", uid)
    item["00081197"] = _value("US", outcome.reason)
    if outcome.problems:
        item["00741048"] = _failed_attributes(outcome.problems)
    return item


def _failed_attributes(problems: Sequence[Problem]) -> dict[str, Any]:
    """Failed Attributes Sequence (0074,1048), with an Error Comment (0000,0902) for each problem."""
    return _sequence([{"00000902": _value("LO", _comment(problem))} for problem in problems])


def _comment(problem: Problem) -> str:
    """``DICOM100`` is the predecessor's only error number."""
    tag = problem.tag.lower()
    return f"DICOM100: ({tag[:4]},{tag[4:]}) - {problem.explanation}"


def _value(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


def _sequence(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
