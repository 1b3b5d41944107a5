"""Triggers are read from the bindings that the Functions library writes."""

from __future__ import annotations

import azure.functions as func
import pytest

from localhost.bindings import BlobTrigger, Function, HttpTrigger, QueueTrigger, TimerTrigger, read_functions
from localhost.ncrontab import parse_schedule
from localhost.problems import StartupProblem


def read(app: func.FunctionApp, **settings: str) -> list[Function]:
    described = [(str(function.get_function_name()), function.get_raw_bindings()) for function in app.get_functions()]
    return read_functions(described, settings)


def test_every_kind_of_trigger_is_read() -> None:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="x/{y}", methods=["GET", "head"])
    def a_request(req: object) -> None: ...

    @app.queue_trigger(arg_name="msg", queue_name="work", connection="S")
    def b_message(msg: object) -> None: ...

    @app.blob_trigger(arg_name="blob", path="inbox/{name}", connection="S", source=func.BlobSource.EVENT_GRID)
    def c_blob(blob: object) -> None: ...

    @app.timer_trigger(arg_name="timer", schedule="0 * * * * *", run_on_startup=True)
    def d_timer(timer: object) -> None: ...

    assert read(app) == [
        Function("a_request", HttpTrigger("req", "x/{y}", frozenset({"GET", "HEAD"}))),
        Function("b_message", QueueTrigger("msg", "work")),
        Function("c_blob", BlobTrigger("blob", "inbox", "S")),
        Function("d_timer", TimerTrigger("timer", parse_schedule("0 * * * * *"), run_on_startup=True)),
    ]


def test_a_function_without_a_route_is_found_under_its_name() -> None:
    app = func.FunctionApp()

    @app.route()
    def hello(req: object) -> None: ...

    assert read(app) == [Function("hello", HttpTrigger("req", "hello", None))]


def test_an_app_setting_in_percent_signs_is_filled_in() -> None:
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="msg", queue_name="%WORK%-items", connection="S")
    def message(msg: object) -> None: ...

    assert read(app, WORK="night") == [Function("message", QueueTrigger("msg", "night-items"))]


def test_a_missing_app_setting_stops_the_start() -> None:
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="msg", queue_name="%WORK%", connection="S")
    def message(msg: object) -> None: ...

    with pytest.raises(StartupProblem, match="app setting WORK"):
        read(app)


@pytest.mark.parametrize(("value", "count"), [("true", 0), ("1", 0), ("false", 1)])
def test_an_app_setting_switches_a_function_off(value: str, count: int) -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
    def sweep(timer: object) -> None: ...

    assert len(read(app, **{"AzureWebJobs.sweep.Disabled": value})) == count


def test_a_schedule_that_is_not_understood_stops_the_start() -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="hourly")
    def sweep(timer: object) -> None: ...

    with pytest.raises(StartupProblem, match="sweep: its schedule"):
        read(app)


def test_a_binding_that_the_host_does_not_know_stops_the_start() -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
    @app.queue_output(arg_name="out", queue_name="work", connection="S")
    def sweep(timer: object, out: object) -> None: ...

    with pytest.raises(StartupProblem, match="type queue"):
        read(app)
