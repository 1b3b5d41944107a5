"""A blob trigger's argument that is only the blob's name.

The extension's own ``BlobClient`` would do, but it is the SDK's: importing it costs 0.75 s of every cold start, and it
opens a connection of its own. What the host hands over is a small JSON document, of which this reads the two names.
The shape of both classes is what ``azurefunctions.extensions.base`` asks of a binding type.
"""

from __future__ import annotations

from typing import Any

import orjson
from azurefunctions.extensions.base import InConverter, OutConverter, SdkType


class BlobName(SdkType):  # type: ignore[misc]  # the extension has no types
    """Container and name of the blob that an event is about."""

    def __init__(self, *, container_name: str, blob_name: str) -> None:
        super().__init__()
        self.container_name, self.blob_name = container_name, blob_name

    def get_sdk_type(self) -> BlobName:
        """Give what the function gets."""
        return self


class BlobNameConverter(InConverter, OutConverter, binding="blob", trigger="blobTrigger"):  # type: ignore[misc,call-arg]  # as above
    """Makes a ``BlobName`` of what the host sends."""

    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        """Tell whether a function's argument is of our type."""
        return issubclass(pytype, BlobName)

    @classmethod
    def decode(cls, data: Any, *, trigger_metadata: Any, pytype: Any) -> BlobName:  # noqa: ARG003  # the library's signature
        """Read the reference that stands for the blob."""
        reference = orjson.loads(data.value.content)
        return BlobName(container_name=reference["ContainerName"], blob_name=reference["BlobName"])
