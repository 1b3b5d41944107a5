"""What a function sees of a request, and a client of a function, whoever runs it: the direct engine or the official worker core.

This is the compatibility test: the same requests go through both engines, so that what works here works in Azure's own worker.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from tests.support.host import FIXTURE_APP, RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Engine = Literal["direct", "runtime"]
BODY_LIMIT_BYTES = 8_000_000
PATIENCE_SECONDS = 15


@pytest.fixture(scope="module", params=["direct", "runtime"])
def app_host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """Run the fixture app on each engine."""
    settings = {"WORK_QUEUE": "settle", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(BODY_LIMIT_BYTES)}
    engine = cast("Engine", request.param)
    with running_host(tmp_path_factory.mktemp(engine), engine=engine, app_folder=FIXTURE_APP, settings=settings) as host:
        yield host


def ask(host: RunningHost, method: str, path: str, body: bytes | Iterator[bytes] | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, f"/base/{path}", body)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def ask_json(host: RunningHost, path: str, method: str = "GET", body: bytes | None = None) -> Any:
    response, content = ask(host, method, path, body)
    assert response.status == 200
    return json.loads(content)


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail after a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def seen(host: RunningHost) -> list[str]:
    return cast("list[str]", ask_json(host, "events"))


def test_encoded_slashes_stay_in_path_parameters(app_host: RunningHost) -> None:
    assert ask_json(app_host, "echo/a%2Fb/c%20d/%C3%BC")["path_params"] == {"rest": "a%2Fb/c d/ü"}


def test_a_catch_all_that_takes_nothing_is_no_parameter(app_host: RunningHost) -> None:
    assert ask_json(app_host, "echo")["path_params"] == {}


def test_repeated_query_keys_are_kept_in_order(app_host: RunningHost) -> None:
    assert ask_json(app_host, "echo/x?a=1&b=%2B+&a=2&c")["query"] == [["a", "1"], ["b", "+ "], ["a", "2"], ["c", ""]]


def test_the_url_shows_a_loopback_host_and_headers_the_public_one(app_host: RunningHost) -> None:
    echo = ask_json(app_host, "echo/x")
    assert echo["url_host"] == "127.0.0.1"
    assert echo["headers"]["host"] != f"127.0.0.1:{app_host.port}"
    assert echo["headers"]["x-forwarded-host"] == f"127.0.0.1:{app_host.port}"
    assert echo["headers"]["x-forwarded-proto"] == "http"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_each_listed_method_arrives(app_host: RunningHost, method: str) -> None:
    assert ask_json(app_host, "echo/x", method, b"body")["method"] == method


@pytest.mark.parametrize(("method", "path"), [("PATCH", "echo/x"), ("HEAD", "received"), ("OPTIONS", "received"), ("POST", "received")])
def test_a_method_that_is_not_listed_is_not_found(app_host: RunningHost, method: str, path: str) -> None:
    response, body = ask(app_host, method, path)
    assert (response.status, body) == (404, b"")


@pytest.mark.parametrize(("method", "body"), [("GET", b"body"), ("HEAD", b""), ("OPTIONS", b"body")])
def test_head_and_options_arrive_where_they_are_listed(app_host: RunningHost, method: str, body: bytes) -> None:
    response, content = ask(app_host, method, "headed")
    assert (response.status, response.headers["x-seen-method"], response.headers["content-length"]) == (200, method, "4")
    assert content == body


def test_literals_match_in_any_case_and_constraints_hold(app_host: RunningHost) -> None:
    assert ask_json(app_host, "ITEMS/12/parts/Xy") == {"item_id": "12", "part": "Xy"}
    assert ask(app_host, "GET", "items/twelve/parts/x")[0].status == 404


@pytest.mark.parametrize(("method", "function"), [("GET", "order_a"), ("DELETE", "order_b")])
def test_functions_are_tried_by_name_and_a_wrong_method_falls_through(app_host: RunningHost, method: str, function: str) -> None:
    assert ask_json(app_host, "order/literal", method) == function


def test_a_path_outside_the_prefix_is_not_found(app_host: RunningHost) -> None:
    assert ask(app_host, "GET", "../headed")[0].status == 404


def test_a_function_may_ask_for_its_context(app_host: RunningHost) -> None:
    first, second = (ask_json(app_host, "context") for _ in range(2))
    assert first[0] == "with_context"
    assert re.fullmatch(r"[0-9a-f-]{36}", first[1])
    assert first[1] != second[1]


def test_a_synchronous_function_answers(app_host: RunningHost) -> None:
    assert ask_json(app_host, "synchronous") == "synchronous"


@pytest.mark.parametrize("path", ["broken", "nothing"])
def test_a_function_that_raises_or_gives_nothing_is_a_500_that_tells_nothing(app_host: RunningHost, path: str) -> None:
    response, body = ask(app_host, "GET", path)
    assert response.status == 500
    assert b"secret" not in body
    assert b"Traceback" not in body


def test_a_streamed_answer_arrives_whole(app_host: RunningHost) -> None:
    response, body = ask(app_host, "GET", "pieces/40")
    assert response.headers["transfer-encoding"] == "chunked"
    assert body == b"x" * 65536 * 40


def test_an_exception_while_streaming_cuts_the_connection(app_host: RunningHost) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(app_host, "GET", "cut")
    assert caught.value.partial == b"begin"


def test_a_client_that_goes_stops_the_stream(app_host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", app_host.port)) as client:
        client.sendall(b"GET /base/endless HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert len(client.recv(65536)) > 0
    wait_for(lambda: "endless ended" in seen(app_host))


@pytest.mark.parametrize("size", [0, 1, 65536, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_arrives_whole(app_host: RunningHost, size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    pieces = (body[start : start + 100_000] for start in range(0, size, 100_000))
    response, content = ask(app_host, "POST", "upload", pieces if chunked else body)
    assert response.status == 200
    assert json.loads(content) == {"bytes": size, "sha256": hashlib.sha256(body).hexdigest()}


def test_a_chunked_body_reaches_the_function_while_it_is_sent(app_host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", app_host.port)) as client:
        client.sendall(
            b"POST /base/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n7\r\nstudies\r\n"
        )
        wait_for(lambda: ask_json(app_host, "received") == 7)
        client.sendall(b"0\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_announced_body_over_the_limit_is_refused(app_host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", app_host.port)) as client:
        client.sendall(b"POST /base/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT_BYTES + 1))
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_over_the_limit_is_refused(app_host: RunningHost) -> None:
    pieces = (bytes(100_000) for _ in range(BODY_LIMIT_BYTES // 100_000 + 1))
    assert ask(app_host, "POST", "upload", pieces)[0].status == 413


def test_the_host_serves_on_after_an_upload_was_broken_off(app_host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", app_host.port)) as client:
        client.sendall(b"POST /base/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\npart")
        wait_for(lambda: ask_json(app_host, "received") == 4)
    assert ask_json(app_host, "upload", "POST", b"whole")["bytes"] == 5


def test_trailers_are_no_headers(app_host: RunningHost) -> None:
    head = b"POST /base/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", app_host.port)) as client:
        client.sendall(head + b"4\r\nbody\r\n0\r\nHost: evil.example\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("start", [b"GET /base/received HTTP/1.1\r\nX: ", b"POST /base/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
def test_a_head_without_end_is_cut_off(app_host: RunningHost, start: bytes) -> None:
    with socket.create_connection(("127.0.0.1", app_host.port), timeout=PATIENCE_SECONDS) as client, suppress(ConnectionError):
        client.sendall(start)
        for _ in range(1000):
            client.sendall(b"x" * 10_000)
        pytest.fail("the host read all of it")


def test_one_connection_serves_many_requests(app_host: RunningHost) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", app_host.port, timeout=PATIENCE_SECONDS)
    ports = set()
    for _ in range(3):
        connection.request("GET", "/base/received")
        connection.getresponse().read()
        ports.add(connection.sock.getsockname())
    connection.close()
    assert len(ports) == 1


def test_a_message_runs_a_function(app_host: RunningHost) -> None:
    ask(app_host, "POST", "send/settle", b"hello")
    wait_for(lambda: "message hello try 1" in seen(app_host))


def test_a_message_that_fails_is_tried_again_and_then_goes_to_the_poison_queue(app_host: RunningHost) -> None:
    ask(app_host, "POST", "send/settle", b"fail me")
    wait_for(lambda: "poison fail me" in seen(app_host))
    assert [event for event in seen(app_host) if "fail me" in event] == [
        "message fail me try 1",
        "message fail me try 2",
        "message fail me try 3",
        "poison fail me",
    ]


def test_a_blob_runs_a_function_that_gets_its_names(app_host: RunningHost) -> None:
    folder = app_host.data_folder / "blobs" / "inbox" / "sub"
    folder.mkdir()
    (folder / "file 1.dcm").write_bytes(b"x")
    wait_for(lambda: "blob inbox sub/file 1.dcm" in seen(app_host))


def test_a_timer_runs_at_the_start_and_by_its_schedule(app_host: RunningHost) -> None:
    wait_for(lambda: seen(app_host).count("tick False") >= 3)


def test_no_exception_text_is_logged(app_host: RunningHost) -> None:
    ask(app_host, "GET", "broken?PatientName=marker")
    wait_for(lambda: any("ValueError" in line for line in app_host.log))
    assert not any("marker" in line or "'secret'" in line or ": secret" in line for line in app_host.log)
