"""What the operator is told: issues of a study's synchronisation, without a patient's value. Not: keeping them.

``Notes`` collects them while resources are built. A dropped value (*D* in docs/fhir.md) is a warning; in strict mode it
rejects the study.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class IssueClass(StrEnum):
    """What kind of trouble it is, and so who acts."""

    VALUE_WARNING = "value-warning"
    DICOM = "dicom"
    FHIR = "fhir"
    TRANSIENT = "transient"
    DEAD = "dead"
    CONFIGURATION = "configuration"


class IssueCode(StrEnum):
    """Every code an issue can have; docs/fhir.md lists them."""

    BAD_VALUE = "bad-value"
    UNDECODABLE_TEXT = "undecodable-text"
    PN_UNSTRUCTURED = "pn-unstructured"
    PN_TOO_LONG = "pn-too-long"
    LEAP_SECOND = "leap-second"
    UNMAPPED_CODE = "unmapped-code"
    MODALITY_MISSING = "modality-missing"
    STUDY_CONFLICT = "study-conflict"
    SERIES_CONFLICT = "series-conflict"
    PATIENT_CONFLICT = "patient-conflict"
    PATIENT_MISMATCH = "patient-mismatch"
    PATIENT_NOT_FOUND = "patient-not-found"
    PATIENT_INACTIVE_CHAIN = "patient-replaced-too-often"
    MISSING_PATIENT_ID = "missing-patient-id"
    MULTIPLE_MATCHES = "multiple-matches"
    ORDER_PENDING = "order-pending"
    ORDER_AMBIGUOUS = "order-ambiguous"
    ENCOUNTER_AMBIGUOUS = "encounter-ambiguous"
    PRACTITIONER_AMBIGUOUS = "practitioner-ambiguous"
    INSTANCES_ELIDED = "instances-elided"
    EVENT_WITHOUT_UID = "event-without-uid"
    MEASUREMENTS_ELIDED = "measurements-elided"
    UNREADABLE_DOCUMENT = "unreadable-document"
    REFUSED = "refused"
    CONFLICT = "conflict"
    UNREACHABLE = "unreachable"
    GIVEN_UP = "given-up"
    UNAUTHORIZED = "unauthorized"
    WRONG_SERVER = "wrong-server"


@dataclass(frozen=True, slots=True)
class Issue:
    """One trouble. ``keyword`` is a DICOM keyword, never a value; the UIDs say where it was met."""

    issue_class: IssueClass
    code: IssueCode
    keyword: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    http_status: int = 0
    outcome_code: str = ""
    diagnostics: str = ""


class StudyRejected(Exception):
    """The study cannot be written as it is: *R* of the mapping, a dropped value in strict mode, a server that has it twice.

    Parameters
    ----------
    issue
        Why.
    recheck
        Whether time may help: something that is not there yet. Otherwise only a change or an operator does.
    """

    def __init__(self, issue: Issue, *, recheck: bool = False) -> None:
        super().__init__(issue.code)
        self.issue, self.recheck = issue, recheck


@dataclass(slots=True)
class Notes:
    """Collects the warnings of one projection; ``at`` says for which series and instance values are read now."""

    strict: bool = False
    issues: dict[Issue, None] = field(default_factory=dict)
    _series: str = ""
    _instance: str = ""

    def at(self, series_instance_uid: str = "", sop_instance_uid: str = "") -> None:
        """Name what the following warnings belong to; empty for the study itself."""
        self._series, self._instance = series_instance_uid, sop_instance_uid

    def drop(self, keyword: str, code: IssueCode = IssueCode.BAD_VALUE) -> None:
        """Record that a value of this attribute was bad and left out.

        Raises
        ------
        StudyRejected
            In strict mode.
        """
        if self.strict:
            self.reject(keyword, code)
        self.warn(keyword, code)

    def warn(self, keyword: str, code: IssueCode) -> None:
        """Record something odd that was kept in some form."""
        self.issues[Issue(IssueClass.VALUE_WARNING, code, keyword, self._series, self._instance)] = None

    def reject(self, keyword: str, code: IssueCode = IssueCode.BAD_VALUE) -> None:
        """Refuse the study.

        Raises
        ------
        StudyRejected
            Always.
        """
        raise StudyRejected(Issue(IssueClass.DICOM, code, keyword, self._series, self._instance))
