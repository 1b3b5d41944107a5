"""Which Patient a study belongs to on the FHIR server, and what we may write there.

The EHR owns the patient: one that we did not make is linked, not edited (unless the policy says otherwise). One of
ours says what the newest of its studies say; each study's saying is kept, so that the order in which studies come
does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shared.dicom.text import fold
from shared.fhir.identity import is_owned
from shared.fhir.issues import Issue, IssueClass, IssueCode, StudyRejected
from shared.fhir.lookup import find, reference_to, version_of
from shared.fhir.merging import deactivated, merge_patient, overwrite_patient, same
from shared.fhir.plan import Planned, create, unchanged, update
from shared.fhir.state import WrittenResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.identity import Draft
    from shared.fhir.json_text import Resource
    from shared.fhir.server import Capabilities, FhirServer
    from shared.fhir.state import Contribution
    from shared.fhir_settings import FhirSettings

_MOST_HOPS = 3
_TAG = "PatientID"
_MISMATCH = Issue(IssueClass.FHIR, IssueCode.PATIENT_MISMATCH, "PatientName")


@dataclass(frozen=True, slots=True)
class FoundPatient:
    """The Patient that the server has for a study, None where it has none; and what is odd about it."""

    current: Resource | None
    issues: Sequence[Issue] = ()


async def find_patient(draft: Draft, server: FhirServer, settings: FhirSettings) -> FoundPatient:
    """Find a study's patient, and make sure that it is the same person.

    Raises
    ------
    StudyRejected
        There is none and the policy makes none, there are several, or it is evidently another person.
    """
    matches = (await find(server, [draft.identity]))[draft.identity]
    if len(matches) > 1:
        raise _rejected(IssueCode.MULTIPLE_MATCHES, IssueClass.FHIR, _ids(matches))
    if matches:
        current = await _survivor(matches[0], server)
        return FoundPatient(current, _guard(current, draft.resource, settings))
    if settings.patient_policy == "link":
        raise StudyRejected(Issue(IssueClass.FHIR, IssueCode.PATIENT_NOT_FOUND, _TAG), recheck=True)
    return FoundPatient(None)


def of_same_person(others: Sequence[Contribution], draft: Draft, found: FoundPatient, settings: FhirSettings) -> list[Contribution]:
    """Give what other studies say of a patient, but for those that evidently tell of another person.

    Raises
    ------
    StudyRejected
        Some do, and there is no Patient yet that tells whose the identifier is: two persons came under it at the same
        moment, and this study is not the first. It is looked at again when there is one.
    """
    same = [each for each in others if settings.patient_mismatch == "flag" or not _is_another(each.elements, draft.resource)]
    if found.current is None and len(same) < len(others):
        raise StudyRejected(_MISMATCH, recheck=True)
    return same


def plan_patient(
    draft: Draft, found: FoundPatient, said: Sequence[Resource], settings: FhirSettings, capabilities: Capabilities
) -> Planned:
    """Plan a study's patient.

    Parameters
    ----------
    draft
        The Patient as this study describes it.
    said
        What all studies of the patient say, this one too, newest last.
    """
    if found.current is None:
        return create(draft.identity, merge_patient(draft.resource, said, settings.canonical), capabilities)
    return _plan_existing(draft, found.current, said, settings)


def _plan_existing(draft: Draft, current: Resource, said: Sequence[Resource], settings: FhirSettings) -> Planned:
    owned = is_owned(current, settings.canonical)
    known = WrittenResource(draft.identity.system, draft.identity.value, reference_to(current), version_of(current), digest="", owned=owned)
    if settings.patient_policy == "link" or (settings.patient_policy == "create" and not owned):
        return unchanged(known)
    wanted = overwrite_patient(current, draft.resource) if not owned else merge_patient(current, said, settings.canonical)
    if settings.patient_policy == "overwrite" and owned:
        wanted = overwrite_patient(wanted, draft.resource)
    if same(wanted, current):
        return unchanged(known)
    planned = update(draft.identity, known.reference, known.version, wanted, mixed=True)
    planned.resource = replace(planned.resource, owned=owned)
    return planned


async def plan_left_patient(reference: str, server: FhirServer, canonical: str) -> Planned | None:
    """Plan for a Patient of ours that no study refers to any more: it becomes inactive."""
    current = await server.read(reference)
    if current is None or not is_owned(current, canonical) or current.get("active") is False:
        return None
    known = WrittenResource("", "", reference, version_of(current), digest="")
    return update(known.identity, reference, known.version, deactivated(current, canonical), mixed=True)


async def _survivor(patient: Resource, server: FhirServer) -> Resource:
    """Follow a merge in the EHR to the patient that is left."""
    for _ in range(_MOST_HOPS):
        replaced_by = [link.get("other", {}).get("reference", "") for link in patient.get("link", []) if link.get("type") == "replaced-by"]
        if not replaced_by:
            return patient
        following = await server.read(_relative(replaced_by[0]))
        if following is None or following.get("resourceType") != "Patient":
            raise _rejected(IssueCode.PATIENT_NOT_FOUND, IssueClass.FHIR)
        patient = following
    if any(link.get("type") == "replaced-by" for link in patient.get("link", [])):
        raise _rejected(IssueCode.PATIENT_INACTIVE_CHAIN, IssueClass.FHIR)
    return patient


def _relative(reference: str) -> str:
    """Give ``Patient/id`` of a relative, versioned or absolute reference: we ask nobody but our own server."""
    parts = reference.partition("/_history/")[0].split("/")
    return "/".join(parts[-2:])


def _guard(current: Resource, described: Resource, settings: FhirSettings) -> Sequence[Issue]:
    """Notice that an identifier leads to another person: birth date and family name both differ."""
    if not _is_another(current, described):
        return ()
    if settings.patient_mismatch == "block":
        raise StudyRejected(_MISMATCH)
    return (replace(_MISMATCH, issue_class=IssueClass.VALUE_WARNING),)


def _is_another(current: Resource, described: Resource) -> bool:
    return _birth_dates_differ(current, described) and _families_differ(current, described)


def _birth_dates_differ(current: Resource, described: Resource) -> bool:
    one, other = str(current.get("birthDate") or ""), str(described.get("birthDate") or "")
    return bool(one and other) and not one.startswith(other) and not other.startswith(one)


def _families_differ(current: Resource, described: Resource) -> bool:
    theirs, ours = _families(current), _families(described)[:1]
    return bool(theirs and ours) and ours[0] not in theirs


def _families(patient: Resource) -> list[str]:
    names: Any = patient.get("name", [])
    return [fold(name["family"]) for name in names if isinstance(name, dict) and name.get("family")]


def _ids(resources: Sequence[Resource]) -> str:
    return ", ".join(sorted(reference_to(resource) for resource in resources))


def _rejected(code: IssueCode, issue_class: IssueClass, diagnostics: str = "") -> StudyRejected:
    return StudyRejected(Issue(issue_class, code, _TAG, diagnostics=diagnostics))
