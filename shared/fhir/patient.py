"""Patient: who a study is of. Not: what becomes of a Patient that the server has already (docs/fhir.md, "Patients").

A study has one subject, whatever its instances say: that of the newest instance with a Patient ID. Instances with
another Patient ID add nothing to it.

References
----------
PS3.3 C.2.2 "Patient Identification Module", C.2.3 "Patient Demographic Module"; FHIR R4 8.1 "Resource Patient".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.fhir import concepts, moments, names, values
from shared.fhir.authorities import system_for
from shared.fhir.evidence import distinct, union, vote
from shared.fhir.identity import Draft, Identity, identifier
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import Resource, compact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.evidence import Block, StudyEvidence

BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
ANIMAL = "http://hl7.org/fhir/StructureDefinition/patient-animal"
PSEUDONYMISED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "PSEUDED"}

_GENDERS = {spelling: gender for gender in ("male", "female", "other", "unknown") for spelling in (gender[0].upper(), gender.upper())}
_MEDICAL_RECORD_NUMBER = "MR"
_MAX_ID_CHARACTERS = 64
"""Of VR LO."""


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """By what a study's patient is known, None without a Patient ID, and the blocks that speak of this patient."""

    identity: Identity | None
    blocks: Sequence[Block]


def patient(evidence: StudyEvidence, context: Context) -> Draft | None:
    """Make the Patient; None where the study has no usable Patient ID, and need not have one.

    Raises
    ------
    StudyRejected
        It has none, and must.
    """
    facts = patient_facts(evidence, context)
    return _draft(facts.identity, facts.blocks, study_date(evidence, context), context) if facts.identity else None


def subject(evidence: StudyEvidence, context: Context) -> Resource:
    """Refer to the Patient, with the identifier that the archive has; without a Patient ID it is only named.

    Raises
    ------
    StudyRejected
        There is no usable Patient ID, and there must be one.
    """
    facts = patient_facts(evidence, context)
    if facts.identity is None:
        name = vote(facts.blocks, lambda ds: names.display(ds, "PatientName", context.notes), context.notes, "PatientName")
        return compact(type="Patient", display=name)
    refer = context.links.reference if context.settings.patient_policy == "link" else context.own
    return {**refer(facts.identity), "identifier": facts.identity.identifier("usual")}


def study_date(evidence: StudyEvidence, context: Context) -> str | None:
    """Give the earliest Study Date, as FHIR date."""
    context.notes.at()
    return moments.earliest(moments.date(block.dataset, "StudyDate", context) for block in evidence.blocks)


def patient_facts(evidence: StudyEvidence, context: Context) -> PatientFacts:
    """Settle whose study it is.

    Of one Patient ID with and without an issuer, the issuer counts for both: an instance that lacks it says nothing else.

    Raises
    ------
    StudyRejected
        No instance has a usable Patient ID, and one must.
    """
    context.notes.at()
    named = [(block, value) for block in evidence.blocks if (value := _patient_id(block.dataset, context))]
    if not named:
        if context.settings.missing_patient == "hold":
            context.notes.reject("PatientID", IssueCode.MISSING_PATIENT_ID)
        return PatientFacts(None, evidence.blocks)
    value = max(named, key=lambda each: each[0].last)[1]
    issued = [(block, _issuer(block.dataset, "", context)) for block, other in named if other == value]
    system = max((block.last, system) for block, system in issued if system)[1] if any(system for _, system in issued) else ""
    blocks = [block for block, other in issued if other in ("", system)]
    if len(blocks) < len(named):
        context.notes.warn("PatientID", IssueCode.PATIENT_CONFLICT)
    return PatientFacts(_identity(system or context.settings.patient_id_system, value), blocks)


def _identity(system: str, value: str) -> Identity:
    return Identity("Patient", system, value, _MEDICAL_RECORD_NUMBER)


def _patient_id(ds: Dataset, context: Context) -> str | None:
    r"""Give the Patient ID: the first, where a ``\`` made several; one that is too long is kept, as its beginning may be another's."""
    sent = values.texts(ds, "PatientID", context.notes)
    parts = [part for text in sent for part in text.split("\\")]
    first = next((part.strip() for part in parts if part.strip()), None)
    if len(parts) > 1 or (first is not None and len(first) > _MAX_ID_CHARACTERS):
        context.notes.drop("PatientID")
    return first


def _issuer(ds: Dataset, fallback: str, context: Context) -> str:
    """Give the system of the Patient ID of a dataset, or of an item of Other Patient IDs."""
    issuer = values.first_text(ds, "IssuerOfPatientID", context.notes)
    return system_for(issuer, ds.item("IssuerOfPatientIDQualifiersSequence"), fallback, context)


def _draft(identity: Identity, blocks: Sequence[Block], latest_birth: str | None, context: Context) -> Draft:
    notes = context.notes
    birth_date = vote(blocks, lambda ds: _birth_date(ds, latest_birth, context), notes, "PatientBirthDate")
    pseudonymised = any(values.code(block.dataset, "PatientIdentityRemoved", notes) == "YES" for block in blocks)
    resource = compact(
        resourceType="Patient",
        meta=context.meta(security=[PSEUDONYMISED]) if pseudonymised else context.meta(),
        extension=_animal(blocks, context),
        identifier=_identifiers(identity, blocks, context),
        name=_names(blocks, context),
        gender=vote(blocks, lambda ds: _gender(ds, context), notes, "PatientSex"),
        birthDate=birth_date,
        _birthDate=_birth_time(birth_date, blocks, context) if birth_date else None,
        **(_extended(blocks, context) if context.settings.patient_extended else {}),
    )
    return Draft(identity, resource)


def _identifiers(identity: Identity, blocks: Sequence[Block], context: Context) -> list[Resource]:
    others = union(blocks, lambda ds: _other_ids(ds, context))
    known = (identity.system, identity.value)
    return [identity.identifier("usual"), *(each for each in others if (each.get("system"), each["value"]) != known)]


def _other_ids(ds: Dataset, context: Context) -> Iterator[Resource]:
    """Give the other Patient IDs that are texts; bar codes and RFID tags are none."""
    for item in ds.items("OtherPatientIDsSequence"):
        kind, value = values.code(item, "TypeOfPatientID", context.notes), _patient_id(item, context)
        if value is None or kind is None:
            context.notes.drop("OtherPatientIDsSequence")
        elif kind == "TEXT":
            yield identifier(_issuer(item, context.settings.patient_id_system, context), value)


def _names(blocks: Sequence[Block], context: Context) -> list[Resource]:
    """Give the name, that at birth, and former ones, each in all scripts in which it is written."""
    notes = context.notes
    usual = vote(blocks, lambda ds: names.human_names(ds, "PatientName", notes), notes, "PatientName")
    at_birth = vote(blocks, lambda ds: names.human_names(ds, "PatientBirthName", notes), notes, "PatientBirthName")
    former = union(blocks, lambda ds: _former_names(ds, context))
    return [*(usual or []), *({**name, "use": "maiden"} for name in at_birth or []), *({**name, "use": "old"} for name in former)]


def _former_names(ds: Dataset, context: Context) -> Iterator[Resource]:
    for value in ds.values("OtherPatientNames"):
        yield from names.names_of(value, "OtherPatientNames", context.notes)


def _gender(ds: Dataset, context: Context) -> str | None:
    sex = values.code(ds, "PatientSex", context.notes)
    if sex is not None and sex not in _GENDERS:
        context.notes.drop("PatientSex")
    return _GENDERS.get(sex or "")


def _birth_date(ds: Dataset, latest: str | None, context: Context) -> str | None:
    if ds.first("PatientBirthDate") in context.settings.birthdate_sentinels:
        return None
    return moments.date(ds, "PatientBirthDate", context, latest=latest)


def _birth_time(birth_date: str, blocks: Sequence[Block], context: Context) -> Resource | None:
    """Give the extension of ``birthDate`` with the exact time, where its offset from UTC is known."""

    def exact(ds: Dataset) -> str | None:
        moment = moments.moment(ds, "PatientBirthDate", "PatientBirthTime", context)
        return moment if moment and moments.has_zone(moment) and moment.startswith(birth_date) else None

    time = vote(blocks, exact, context.notes, "PatientBirthTime")
    return {"extension": [{"url": BIRTH_TIME, "valueDateTime": time}]} if time else None


def _animal(blocks: Sequence[Block], context: Context) -> list[Resource]:
    """Give the extension for animals; it needs a species."""
    species = vote(blocks, lambda ds: _kind(ds, "PatientSpecies", context), context.notes, "PatientSpeciesCodeSequence")
    breed = vote(blocks, lambda ds: _kind(ds, "PatientBreed", context), context.notes, "PatientBreedCodeSequence")
    if species is None:
        return []
    parts = [{"url": url, "valueCodeableConcept": kind} for url, kind in (("species", species), ("breed", breed)) if kind]
    return [{"url": ANIMAL, "extension": parts}]


def _kind(ds: Dataset, prefix: str, context: Context) -> Resource | None:
    coded = concepts.concepts(ds, f"{prefix}CodeSequence", context)
    described = values.text(ds, f"{prefix}Description", context.notes)
    return coded[0] if coded else compact(text=described) or None


def _extended(blocks: Sequence[Block], context: Context) -> dict[str, list[Resource]]:
    address = vote(blocks, lambda ds: values.text(ds, "PatientAddress", context.notes), context.notes, "PatientAddress")
    phones = union(blocks, lambda ds: values.texts(ds, "PatientTelephoneNumbers", context.notes))
    return {
        "address": [{"text": address}] if address else [],
        "telecom": [{"system": "phone", "value": phone} for phone in distinct(phones)],
    }
