"""The messages between Azure's host and its Python worker, as plain objects.

The worker core never imports protobuf; it takes the classes it answers with from its caller, and only reads attributes of what it is
asked. So a namespace does for every message, but for the two whose constants the core compares.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from localhost.bindings import BlobTrigger
from localhost.engine import BlobEvent, QueueEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localhost.bindings import Function
    from localhost.engine import Event


class Message(SimpleNamespace):
    """Any message; of the alternatives of a group, the attribute that was given first is the one that is set."""

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 -- protobuf's name
        """Name the attribute that is set."""
        return next(iter(vars(self)), None)


class StatusResult(Message):
    """Whether the core did as it was asked."""

    Failure, Success = 0, 1


class BindingInfo(Message):
    """A binding, with the numbers that ``azure.functions`` has for data types and directions."""

    undefined, out, inout = 0, 1, 2


_ANSWERS = (
    "FunctionLoadResponse",
    "FunctionMetadataResponse",
    "InvocationResponse",
    "ParameterBinding",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcRetryOptions",
    "TypedData",
    "WorkerInitResponse",
    "WorkerMetadata",
)
PROTOS = SimpleNamespace(StatusResult=StatusResult, BindingInfo=BindingInfo, **dict.fromkeys(_ANSWERS, Message))
"""What the core takes for the generated module."""


def request(kind: str, properties: Mapping[str, Any], **content: Any) -> SimpleNamespace:
    """Make a request of the core, as its proxy wraps it."""
    return SimpleNamespace(request=SimpleNamespace(**{kind: SimpleNamespace(**content)}), properties=properties)


def invocation(function_id: str, invocation_id: str, parameter: str, data: Message, metadata: Mapping[str, Message]) -> dict[str, Any]:
    """Give the contents of an invocation request with one input, the trigger's."""
    return {
        "invocation_id": invocation_id,
        "function_id": function_id,
        "input_data": [Message(data=data, name=parameter)],
        "trigger_metadata": metadata,
        "trace_context": SimpleNamespace(trace_parent="", trace_state="", attributes={}),
        "retry_context": SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    }


def http_data(method: str, url: str, route_values: Mapping[str, str]) -> Message:
    """Describe a request that is forwarded: of all this the worker uses the route values."""
    return Message(http=SimpleNamespace(method=method, url=url, headers={}, params=route_values, query={}, body=Message()))


def event_data(function: Function, event: Event) -> tuple[Message, dict[str, Message]]:
    """Give an event's data and trigger metadata."""
    if isinstance(event, QueueEvent):
        message = event.message
        metadata = {"Id": message.id, "DequeueCount": str(message.dequeue_count), "PopReceipt": message.receipt}
        return Message(string=message.body), {name: Message(string=value) for name, value in metadata.items()}
    if isinstance(event, BlobEvent) and isinstance(function.trigger, BlobTrigger):
        return _blob_reference(function.trigger.connection, event), {}
    return Message(json=json.dumps({"IsPastDue": False})), {}


def _blob_reference(connection: str, event: BlobEvent) -> Message:
    content = {"Connection": connection, "ContainerName": event.container_name, "BlobName": event.blob_name}
    return Message(
        model_binding_data=SimpleNamespace(
            version="1.0", source="AzureStorageBlobs", content_type="application/json", content=json.dumps(content).encode()
        )
    )
