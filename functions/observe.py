"""The timer that reads the gauges, where telemetry is configured. Not: what they are."""

from __future__ import annotations

import azure.functions as func

from shared.services.archive import Archive
from shared.telemetry.recorder import Telemetry
from shared.telemetry.runs import guarded_run

_EVERY_FIVE_MINUTES = "15 */5 * * * *"


def blueprint(archive: Archive, telemetry: Telemetry) -> func.Blueprint:
    """Register the timer."""
    bp = func.Blueprint()

    @bp.timer_trigger(arg_name="timer", schedule=_EVERY_FIVE_MINUTES)
    async def observe_archive(timer: func.TimerRequest) -> None:
        del timer
        with guarded_run(telemetry, "observe_archive"):
            telemetry.read(await archive.observation.readings())

    return bp
