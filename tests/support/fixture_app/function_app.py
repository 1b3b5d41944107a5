"""A function app that shows what a host does to requests and events; each function is there for one rule."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

import azure.functions as func
from azurefunctions.extensions.bindings.blob import BlobClient
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse

from shared.adapters.stores import open_stores
from shared.settings import Settings

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
events: list[str] = []
received_bytes = 0


def _json(content: object) -> Response:
    return Response(json.dumps(content), media_type="application/json")


@app.route(route="echo/{*rest}", methods=["GET", "POST", "PUT", "DELETE"])
async def echo(req: Request) -> Response:
    return _json(
        {
            "method": req.method,
            "path_params": req.path_params,
            "query": req.query_params.multi_items(),
            "headers": dict(req.headers),
            "url_host": req.url.hostname,
            "body_bytes": len(await req.body()),
        }
    )


@app.route(route="items/{item_id:int}/Parts/{part}", methods=["GET"])
async def item_part(req: Request) -> Response:
    return _json(req.path_params)


@app.route(route="order/{name}", methods=["GET"])
async def order_a(req: Request) -> Response:
    return _json("order_a")


@app.route(route="order/literal", methods=["GET", "DELETE"])
async def order_b(req: Request) -> Response:
    return _json("order_b")


@app.route(route="headed", methods=["GET", "HEAD", "OPTIONS"])
async def headed(req: Request) -> Response:
    return Response("body", headers={"x-seen-method": req.method})


@app.route(route="pieces/{count:int}", methods=["GET"])
async def pieces(req: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(int(req.path_params["count"])):
            yield b"x" * 65536

    return StreamingResponse(body(), media_type="application/octet-stream")


@app.route(route="endless", methods=["GET"])
async def endless(req: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            events.append("endless ended")

    return StreamingResponse(body())


@app.route(route="cut", methods=["GET"])
async def cut(req: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"begin"
        await asyncio.sleep(0.05)
        raise RuntimeError("secret")

    return StreamingResponse(body())


@app.route(route="upload", methods=["POST"])
async def upload(req: Request) -> Response:
    global received_bytes  # noqa: PLW0603 -- another request looks at it
    received_bytes = 0
    digest = hashlib.sha256()
    async for piece in req.stream():
        received_bytes += len(piece)
        digest.update(piece)
    return _json({"bytes": received_bytes, "sha256": digest.hexdigest()})


@app.route(route="received", methods=["GET"])
async def received(req: Request) -> Response:
    return _json(received_bytes)


@app.route(route="nothing", methods=["GET"])
async def nothing(req: Request) -> Response:
    return None  # what the host makes of it is tested


@app.route(route="broken", methods=["GET"])
async def broken(req: Request) -> Response:
    raise ValueError("secret")


@app.route(route="context", methods=["GET"])
async def with_context(req: Request, context: func.Context) -> Response:
    return _json([context.function_name, context.invocation_id])


@app.route(route="synchronous", methods=["GET"])
def synchronous(req: Request) -> Response:
    return _json("synchronous")


@app.route(route="events", methods=["GET"])
async def seen_events(req: Request) -> Response:
    return _json(events)


@app.route(route="send/{queue}", methods=["POST"])
async def send(req: Request) -> Response:
    queues = open_stores(Settings.from_environment().storage).queues
    await queues.send(req.path_params["queue"], (await req.body()).decode())
    return Response(status_code=202)


@app.queue_trigger(arg_name="msg", queue_name="%WORK_QUEUE%", connection="STORAGE")
async def work(msg: func.QueueMessage) -> None:
    body = msg.get_body().decode()
    events.append(f"message {body} try {msg.dequeue_count}")
    if body.startswith("fail"):
        raise RuntimeError("secret")


@app.queue_trigger(arg_name="msg", queue_name="settle-poison", connection="STORAGE")
async def poisoned(msg: str) -> None:
    events.append(f"poison {msg}")


@app.blob_trigger(arg_name="blob", path="inbox/{name}", connection="STORAGE", source=func.BlobSource.EVENT_GRID)
async def arrived(blob: BlobClient) -> None:
    events.append(f"blob {blob.container_name} {blob.blob_name}")


@app.timer_trigger(arg_name="timer", schedule="* * * * * *", run_on_startup=True)
async def tick(timer: func.TimerRequest) -> None:
    events.append(f"tick {timer.past_due}")
