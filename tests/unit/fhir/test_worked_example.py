"""The example of docs/fhir.md: what two CT instances of one series become."""

from __future__ import annotations

import json
from typing import Any

from shared.fhir.endpoint import endpoint
from shared.fhir.imaging_study import frame, imaging_study
from shared.fhir.patient import patient
from tests.support.fhir_evidence import context, evidence, instance, validate, warnings

DCM = "http://dicom.nema.org/resources/ontology/DCM"
YAMADA: dict[str, Any] = {
    "PatientName": "Yamada^Tarou=山田^太郎",
    "IssuerOfPatientIDQualifiersSequence": {"UniversalEntityID": "2.16.840.1.113883.19.5", "UniversalEntityIDType": "ISO"},
    "PatientBirthDate": "19610704",
    "PatientSex": "M",
    "AccessionNumber": "ACC-77",
    "IssuerOfAccessionNumberSequence": {"UniversalEntityID": "2.16.840.1.113883.19.7", "UniversalEntityIDType": "ISO"},
    "StudyDate": "20260110",
    "StudyTime": "0915",
    "TimezoneOffsetFromUTC": "+0900",
    "ReferringPhysicianName": "Refer^Ann^^Dr",
    "StudyDescription": "CT Femur",
    "SeriesNumber": 2,
    "SeriesDate": "20260110",
    "SeriesTime": "091630",
    "SeriesDescription": "Bone 1.0",
    "BodyPartExamined": "FEMUR",
    "Laterality": "L",
}
META = (
    '"meta":{"source":"https://archive.example/dicom-web",'
    '"tag":[{"system":"https://archive.example/fhir/CodeSystem/origin","code":"archive"}]}'
)
EN = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
MR = (
    '{"use":"usual","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},'
    '"system":"urn:oid:2.16.840.1.113883.19.5","value":"A-1001"}'
)
ACSN = (
    '{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"ACSN"}]},'
    '"system":"urn:oid:2.16.840.1.113883.19.7","value":"ACC-77"}'
)
PATIENT = f"""{{"resourceType":"Patient",{META},"identifier":[{MR}],
"name":[{{"extension":[{{"url":"{EN}","valueCode":"ABC"}}],"use":"usual","text":"Tarou Yamada","family":"Yamada","given":["Tarou"]}},
{{"extension":[{{"url":"{EN}","valueCode":"IDE"}}],"text":"山田太郎","family":"山田","given":["太郎"]}}],
"gender":"male","birthDate":"1961-07-04"}}"""
CT = f'{{"system":"{DCM}","code":"CT"}}'
CT_CLASS = '"sopClass":{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2.840.10008.5.1.4.1.1.2","display":"CT Image Storage"}'
STUDY = f"""{{"resourceType":"ImagingStudy",{META},
"identifier":[{{"use":"official","system":"urn:dicom:uid","value":"urn:oid:1.2.840.99999.1.1"}},{ACSN}],
"status":"available","modality":[{CT}],"subject":{{"reference":"Patient/%s","identifier":{MR}}},"started":"2026-01-10T09:15:00+09:00",
"basedOn":[{{"type":"ServiceRequest","identifier":{ACSN}}}],"referrer":{{"type":"Practitioner","display":"Dr Ann Refer"}},
"endpoint":[{{"reference":"Endpoint/%s"}}],"numberOfSeries":1,"numberOfInstances":2,"description":"CT Femur",
"series":[{{"uid":"1.2.840.99999.1.1.1","number":2,"modality":{CT},"description":"Bone 1.0","numberOfInstances":2,
"bodySite":{{"system":"http://snomed.info/sct","code":"71341001","display":"Femur"}},
"laterality":{{"system":"http://snomed.info/sct","code":"7771000","display":"Left"}},"started":"2026-01-10T09:16:30+09:00",
"instance":[{{"uid":"1.2.840.99999.1.1.1.1",{CT_CLASS},"number":1}},{{"uid":"1.2.840.99999.1.1.1.2",{CT_CLASS},"number":2}}]}}]}}"""


def test_the_worked_example_comes_out_as_it_is_documented() -> None:
    gathered, ctx = evidence([instance(InstanceNumber=number, **YAMADA) for number in (1, 2)]), context()
    who, where = patient(gathered, ctx), endpoint(ctx)
    assert who is not None
    made = imaging_study(gathered, frame(gathered, ctx), ctx)
    assert validate(who.resource) == json.loads(PATIENT)
    assert validate(made.resource) == json.loads(STUDY % (who.identity.logical_id, where.identity.logical_id))
    assert warnings(ctx) == []
