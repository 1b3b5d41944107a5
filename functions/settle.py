"""Triggers that finish what a commit began: settle messages, those that were given up, the sweeper. Not: retry arithmetic."""

from __future__ import annotations

import azure.functions as func

from shared.catalog.keys import SETTLE_QUEUE
from shared.services.archive import Archive
from shared.settings import STORAGE_CONNECTION
from shared.telemetry.recorder import Telemetry
from shared.telemetry.runs import PUT_OFF, guarded_run

_POISON = SETTLE_QUEUE + "-poison"
_EVERY_FIVE_MINUTES, _EVERY_FIVE_MINUTES_LATER = "30 */5 * * * *", "0 */5 * * * *"


def blueprint(archive: Archive, telemetry: Telemetry | None = None) -> func.Blueprint:
    """Register the triggers."""
    bp = func.Blueprint()

    @bp.queue_trigger(arg_name="message", queue_name=SETTLE_QUEUE, connection=STORAGE_CONNECTION)
    async def settle_study(message: func.QueueMessage) -> None:
        with guarded_run(telemetry, "settle_study") as run:
            if not await (await archive.open()).settle.settle(message.get_body().decode()):
                run.outcome = PUT_OFF

    @bp.queue_trigger(arg_name="message", queue_name=_POISON, connection=STORAGE_CONNECTION)
    async def revive_settle_message(message: func.QueueMessage) -> None:
        with guarded_run(telemetry, "revive_settle_message"):
            await (await archive.open()).settle.revive(message.get_body().decode())

    @bp.timer_trigger(arg_name="timer", schedule=_EVERY_FIVE_MINUTES)
    async def sweep_archive(timer: func.TimerRequest) -> None:
        del timer
        with guarded_run(telemetry, "sweep_archive"):
            await (await archive.open()).sweep.sweep()

    @bp.timer_trigger(arg_name="timer", schedule=_EVERY_FIVE_MINUTES_LATER)
    async def sweep_fhir(timer: func.TimerRequest) -> None:
        del timer
        with guarded_run(telemetry, "sweep_fhir"):
            fhir = (await archive.open()).fhir
            if fhir is not None:
                await fhir.operations.check_server()
                await fhir.sync.sweep()
                await fhir.requeue.go_on()

    return bp
