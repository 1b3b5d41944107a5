"""Orders: the accession numbers of a study, and the ServiceRequests that it answers.

An order is known by its Accession Number and by the number that its placer gave it. A report for several orders lists
them in Referenced Request Sequence, and says nothing itself.

References
----------
PS3.3 C.7.2.1 "General Study Module", C.17.2 "SR Document General Module" (Table C.17-2), 10.14 "Issuer of Patient ID Macro";
FHIR R4 12.1 "Resource ServiceRequest".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.fhir import concepts, moments, practitioners, values
from shared.fhir.authorities import system_for
from shared.fhir.evidence import distinct, union
from shared.fhir.identity import Draft, Identity
from shared.fhir.json_text import Resource, compact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.evidence import StudyEvidence

_ACCESSION, _PLACER = "ACSN", "PLAC"
"""Identifier types of v2-0203."""


def accession_identifiers(evidence: StudyEvidence, context: Context) -> list[Resource]:
    """Give the study's accession numbers as identifiers."""
    found = union(evidence.blocks, lambda ds: [identity] if (identity := _accession(ds, context)) else [])
    return [identity.identifier() for identity in found]


def based_on(evidence: StudyEvidence, subject: Resource, context: Context) -> list[Resource]:
    """Refer to the ServiceRequests of a study.

    One that the server has under one of its numbers is referred to literally, others by each number that is known.
    """
    requests = [request for block in evidence.blocks for request in _requests(block.dataset)]
    return distinct(reference for request, root in requests for reference in _references(request, root, subject, context))


def _requests(ds: Dataset) -> Iterator[tuple[Dataset, Dataset]]:
    """Give the datasets that name an order, each with the dataset that it stands in."""
    yield ds, ds
    for item in ds.items("ReferencedRequestSequence"):
        yield item, ds


def _references(request: Dataset, root: Dataset, subject: Resource, context: Context) -> list[Resource]:
    identities = [identity for identity in (_accession(request, context), _placer(request, context)) if identity]
    if identities and context.settings.orders == "create":
        _share(_draft(_known_first(identities, context), request, root, subject, context), context)
    literal = [found for identity in identities if (found := context.links.literal(identity))]
    return [{"reference": found} for found in literal] or [context.links.reference(identity) for identity in identities]


def _known_first(identities: Sequence[Identity], context: Context) -> list[Identity]:
    return sorted(identities, key=lambda identity: context.links.literal(identity) is None)


def _share(draft: Draft, context: Context) -> None:
    """Have an order written; what another dataset of the study has said of it already stays, and is added to."""
    said = context.shared[draft.identity].resource if draft.identity in context.shared else {}
    identifiers = distinct([*said.get("identifier", []), *draft.resource["identifier"]])
    context.share(Draft(draft.identity, {**draft.resource, **said, "identifier": identifiers}))


def _accession(ds: Dataset, context: Context) -> Identity | None:
    value = values.first_text(ds, "AccessionNumber", context.notes)
    system = system_for(None, ds.item("IssuerOfAccessionNumberSequence"), context.settings.accession_system, context)
    return Identity("ServiceRequest", system, value, _ACCESSION) if value else None


def _placer(ds: Dataset, context: Context) -> Identity | None:
    value = values.first_text(ds, "PlacerOrderNumberImagingServiceRequest", context.notes)
    system = system_for(None, ds.item("OrderPlacerIdentifierSequence"), context.settings.accession_system, context)
    return Identity("ServiceRequest", system, value, _PLACER) if value else None


def _draft(identities: Sequence[Identity], request: Dataset, root: Dataset, subject: Resource, context: Context) -> Draft:
    requester = practitioners.first_of(root, "RequestingPhysician", "RequestingPhysicianIdentificationSequence", context)
    authored = moments.moment(root, "IssueDateOfImagingServiceRequest", "IssueTimeOfImagingServiceRequest", context)
    resource = compact(
        resourceType="ServiceRequest",
        meta=context.meta(),
        identifier=[identity.identifier() for identity in identities],
        status="completed",
        intent="order",
        code=_procedure(request, context),
        subject=subject,
        authoredOn=authored,
        requester=requester,
    )
    return Draft(identities[0], resource)


def _procedure(request: Dataset, context: Context) -> Resource | None:
    coded = concepts.concepts(request, "RequestedProcedureCodeSequence", context)
    described = values.text(request, "RequestedProcedureDescription", context.notes)
    return coded[0] if coded else compact(text=described) or None
