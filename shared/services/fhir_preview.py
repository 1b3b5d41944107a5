"""What would be written to FHIR for a study now, without writing it: the transaction, and what it does to which resource.

Nothing that is remembered of earlier writing is relied on: the server is asked. So this is what a rebuild would write.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shared.catalog.keys import CATALOG, STUDY_ROW
from shared.catalog.records import StudyRecord
from shared.errors import Busy, NotFound
from shared.fhir.issues import StudyRejected
from shared.fhir.json_text import canonical, compact
from shared.fhir.sending import writes_of
from shared.fhir.server import FhirError, FhirRefused, FhirTransient
from shared.services.fhir_operations import issue_document
from shared.services.fhir_outcomes import refusal
from shared.services.fhir_plan import Known
from shared.services.fhir_study_reader import StudyChanged

if TYPE_CHECKING:
    from shared.catalog.reading import CatalogReader
    from shared.fhir.issues import Issue
    from shared.fhir.json_text import Resource
    from shared.fhir.server import Write
    from shared.fhir.state import SyncState
    from shared.fhir_settings import FhirSettings
    from shared.ports import TableStore
    from shared.services.fhir_plan import Planner, SyncPlan
    from shared.services.fhir_study_reader import StudyReader

_TRIES = 3
_LONGEST_RETRY_AFTER = 3600


class FhirPreview:
    """Plans studies, and shows the plans."""

    def __init__(
        self, tables: TableStore, reader: CatalogReader, state: SyncState, studies: StudyReader, planner: Planner, settings: FhirSettings
    ) -> None:
        self._tables, self._reader, self._state = tables, reader, state
        self._studies, self._planner, self._settings = studies, planner, settings

    async def preview(self, study_instance_uid: str) -> bytes:
        """Give the bundle and the changes as a JSON object; of a study that cannot be written, null and the issue that says why.

        Raises
        ------
        NotFound
            The study was never stored.
        Busy
            The FHIR server does not answer as it should, or the study changes all the time.
        """
        try:
            plan = await self._plan(study_instance_uid)
        except StudyRejected as rejected:
            return _refused(rejected.issue)
        except FhirRefused as error:
            return _refused(refusal(error))
        except FhirError as error:
            raise Busy(f"FHIR cannot be asked: {error}.", _retry_after(error)) from error
        return self._document(plan)

    async def _plan(self, study_instance_uid: str) -> SyncPlan | None:
        for _ in range(_TRIES):
            try:
                return await self._try(study_instance_uid)
            except StudyChanged:
                continue
        raise Busy("The study changes while it is read.")

    async def _try(self, study_instance_uid: str) -> SyncPlan | None:
        partition_key = self._reader.study_partition(study_instance_uid)
        entity = await self._tables.get(CATALOG, partition_key, STUDY_ROW)
        if entity is None:
            raise NotFound("The study was never stored.")
        known = Known(await self._state.read(partition_key), await self._state.documents(partition_key), afresh=True)
        if not StudyRecord.from_entity(entity).exists:
            return await self._planner.plan_removal(known, study_instance_uid, cancel=self._settings.delete == "cancel")
        evidence = await self._studies.read(study_instance_uid)
        if not evidence.series:
            raise StudyChanged
        return await self._planner.plan(evidence, known)

    def _document(self, plan: SyncPlan | None) -> bytes:
        units = [plan.shared, *plan.units] if plan else []
        planned = [each for unit in units for each in unit.planned]
        entries = [_entry(write, self._settings.base_url) for write in writes_of(planned, {})]
        bundle = compact(resourceType="Bundle", type="transaction", entry=entries)  # FHIR has no empty lists
        changes = [{"resource": each.resource.reference, "action": str(each.change)} for each in planned]
        return canonical({"bundle": bundle, "changes": changes})


def _entry(write: Write, base_url: str) -> Resource:
    own_url = f"{base_url}/{write.url}" if write.method == "PUT" else ""
    request = compact(method=write.method, url=write.url, ifMatch=write.if_match)
    return compact(fullUrl=write.full_url or own_url, resource=write.resource, request=request)


def _refused(issue: Issue) -> bytes:
    return canonical({"bundle": None, "changes": [], "issue": issue_document(issue)})


def _retry_after(error: FhirError) -> int:
    hint = error.retry_after_seconds if isinstance(error, FhirTransient) else None
    return min(math.ceil(hint or 5), _LONGEST_RETRY_AFTER)
