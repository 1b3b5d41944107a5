"""The real exporter, and a server that takes what it sends: what arrives at Application Insights, and who else hears of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
TRACE: Final = "ab" * 16

SCRIPT: Final = """
import asyncio, gzip, json, os, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

reached, received = [], []
connect = socket.socket.connect
socket.socket.connect = lambda self, address: (reached.append(address[0]), connect(self, address))[1]
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **most: (reached.append(host), resolve(host, *more, **most))[1]

class Ingestion(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        items = json.loads(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        received.extend(items)
        answer = json.dumps({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Ingestion)
threading.Thread(target=server.serve_forever, daemon=True).start()
key = "00000000-0000-0000-0000-000000000001"
os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"] = f"InstrumentationKey={key};IngestionEndpoint=http://127.0.0.1:{server.server_port}/"

import function_app
from opentelemetry import metrics, trace
from shared.adapters import telemetry
from starlette.requests import Request

at_import = [name for name in sys.modules if name.startswith(("azure.monitor", "opentelemetry.sdk", "psutil", "msrest"))]
telemetry.PAUSE_SECONDS, telemetry.EXPORT_EVERY_SECONDS = 0, 0.5
functions = {f.get_function_name(): f.get_user_function() for f in function_app.app.get_functions()}

async def ask():
    scope = {"type": "http", "method": "GET", "query_string": b"PatientName=CANARY", "path_params": {"version": "v2"}}
    scope["headers"] = [(b"traceparent", b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01")]
    response = await functions["search_studies"](req=Request(scope))
    await response(scope, None, send)
    return response.status_code

async def send(message):
    pass

def sent():
    return {item["data"]["baseType"] for item in received}

until = time.monotonic() + 40
statuses = []
while time.monotonic() < until and not {"RequestData", "MetricData"} <= sent():
    statuses.append(asyncio.run(ask()))
    time.sleep(0.2)
threads = [thread.name for thread in threading.enumerate()]
still_global = [type(p()).__module__ for p in (trace.get_tracer_provider, metrics.get_meter_provider)]
print(json.dumps([received, sorted(set(map(str, reached))), at_import, statuses, still_global, threads]))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the app in a process of its own, ask it something, and see what is sent, and to whom."""
    environment = {"PATH": os.environ["PATH"], "STORAGE_DATA_DIR": str(tmp_path_factory.mktemp("data")), "OTEL_BSP_SCHEDULE_DELAY": "200"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=90)  # noqa: S603 -- our own
    return [*json.loads(done.stdout.splitlines()[-1]), done.stderr]


def of_type(outcome: Any, base_type: str) -> list[Any]:
    return [item for item in outcome[0] if item["data"]["baseType"] == base_type]


def test_importing_the_app_does_not_import_what_sends(outcome: Any) -> None:
    assert outcome[2] == []


def test_a_failed_request_arrives_under_its_template_and_trace(outcome: Any) -> None:
    request = of_type(outcome, "RequestData")[0]
    data = request["data"]["baseData"]
    assert set(outcome[3]) == {503}
    assert (data["name"], data["responseCode"], data["success"]) == ("GET /{version}/studies", "503", False)
    assert request["tags"]["ai.operation.id"] == TRACE
    assert not data.get("url")


def test_metrics_arrive_with_their_dimensions(outcome: Any) -> None:
    metrics = {metric["name"]: item for item in of_type(outcome, "MetricData") for metric in item["data"]["baseData"]["metrics"]}
    properties = metrics["archive.request.duration"]["data"]["baseData"]["properties"]
    assert properties == {"http.request.method": "GET", "http.route": "/{version}/studies", "http.response.status_code": "503"}


def test_nothing_of_the_query_is_sent(outcome: Any) -> None:
    assert "CANARY" not in json.dumps(outcome[0])


def test_nobody_else_hears_of_it(outcome: Any) -> None:
    """The exporter would ask its maker for settings, and tell him how it is used: seconds later, from threads that are there at once."""
    assert outcome[1] == ["127.0.0.1"]
    assert "ConfigurationWorker" not in outcome[5]
    assert outcome[5].count("OtelPeriodicExportingMetricReader") == 1


def test_nothing_becomes_global(outcome: Any) -> None:
    assert all(not module.startswith("opentelemetry.sdk") for module in outcome[4])


def test_nothing_is_complained_of(outcome: Any) -> None:
    assert not [line for line in outcome[6].splitlines() if not line.startswith("GET /{version}/studies answered 503")]
