"""Table Storage's limits, which neither Azurite nor SQLite enforces. Both sets of adapters do, before they send.

So what passes the tests on a laptop is not refused in production.

References
----------
Azure Storage documentation: "Understanding the Table service data model", "Performing entity group
transactions", "Scalability and performance targets for Table storage".
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import orjson

from shared.errors import StorageLimit
from shared.ports import Remove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import Operation, Properties, Scalar

MAX_ENTITY_BYTES = 1024 * 1024
MAX_PROPERTIES = 252
"""255 less PartitionKey, RowKey and Timestamp."""
MAX_PROPERTY_BYTES = 64 * 1024
"""Of binary; of text in UTF-16, so 32 K characters."""
_SHORT = MAX_PROPERTY_BYTES // 2
MAX_KEY_CHARACTERS = 512
"""1 KiB of UTF-16."""
MAX_OPERATIONS = 100
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
MAX_PAGE = 1000

_OPERATION_OVERHEAD_BYTES = 800
"""Multipart boundary, headers and URL with the keys that surround each operation of a transaction."""
_PROPERTY_OVERHEAD_BYTES = 48
"""Quotes, commas and the type annotation (which repeats the name) of a property in JSON."""
_MOST_SENT_PER_STORED = 4
"""A property takes in a request at most this many times what it counts when stored; saves a closer look at small transactions."""
_KEY_FORBIDDEN = re.compile("[/\\\\#?\x00-\x1f\x7f-\x9f]")
_PROPERTY_NAME = re.compile(r"(?!odata\.|PartitionKey$|RowKey$|Timestamp$)[A-Za-z_][A-Za-z0-9_]{0,254}\Z")
_legal_names: set[str] = set()


def check_key(key: str) -> None:
    """Raise ``StorageLimit`` unless ``key`` may be a PartitionKey or RowKey."""
    if len(key) > MAX_KEY_CHARACTERS or (not key.isascii() and _utf16_bytes(key) > 2 * MAX_KEY_CHARACTERS):
        raise StorageLimit(f"a key is longer than {MAX_KEY_CHARACTERS} characters")
    if _KEY_FORBIDDEN.search(key):
        raise StorageLimit("a key holds a control character or one of / \\ # ?")


def check_entity(partition_key: str, row_key: str, properties: Properties) -> int:
    """Raise ``StorageLimit`` unless Table Storage would take the entity; give its size there in bytes."""
    check_key(partition_key)
    check_key(row_key)
    if len(properties) > MAX_PROPERTIES:
        raise StorageLimit(f"an entity has more than {MAX_PROPERTIES} properties")
    size = 4 + 2 * (len(partition_key) + len(row_key))
    for name, value in properties.items():
        if name not in _legal_names:
            _check_name(name)
        if isinstance(value, str) and value.isascii() and len(value) <= _SHORT:
            size += 2 * len(value)  # most are short, and every row of a commit passes here
        else:
            size += _stored_bytes(value)
        size += 12 + 2 * len(name)
    if size > MAX_ENTITY_BYTES:
        raise StorageLimit(f"an entity is larger than {MAX_ENTITY_BYTES} bytes")
    return size


def check_transaction(partition_key: str, operations: Sequence[Operation]) -> None:
    """Raise ``StorageLimit`` unless Table Storage would take the operations as one transaction."""
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise StorageLimit(f"a transaction holds 1 to {MAX_OPERATIONS} operations")
    if len({operation.row_key for operation in operations}) < len(operations):
        raise StorageLimit("a transaction touches a row twice")
    stored = sum(_check_operation(partition_key, operation) for operation in operations)
    if _MOST_SENT_PER_STORED * stored > MAX_TRANSACTION_BYTES and sum(map(_sent_bytes, operations)) > MAX_TRANSACTION_BYTES:
        raise StorageLimit(f"a transaction is larger than {MAX_TRANSACTION_BYTES} bytes as encoded")


def check_page_size(page_size: int) -> None:
    """Raise ``StorageLimit`` unless a page may have that many rows."""
    if not 1 <= page_size <= MAX_PAGE:
        raise StorageLimit(f"a page has 1 to {MAX_PAGE} rows")


def _check_operation(partition_key: str, operation: Operation) -> int:
    if isinstance(operation, Remove):
        check_key(operation.row_key)
        return _OPERATION_OVERHEAD_BYTES
    return _OPERATION_OVERHEAD_BYTES + check_entity(partition_key, operation.row_key, operation.properties)


def _check_name(name: str) -> None:
    if not _PROPERTY_NAME.match(name):
        raise StorageLimit("a property's name is reserved, longer than 255 characters or no identifier")
    _legal_names.add(name)


def _stored_bytes(value: Scalar) -> int:
    if isinstance(value, str):
        size = _utf16_bytes(value)
    elif isinstance(value, bytes):
        size = len(value)
    else:
        return _number_bytes(value)
    if size > MAX_PROPERTY_BYTES:
        raise StorageLimit(f"a property is larger than {MAX_PROPERTY_BYTES} bytes (text counts two a character)")
    return size


def _number_bytes(value: float) -> int:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise StorageLimit("an integer does not fit 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise StorageLimit("a number is not finite")
    return 8


def _utf16_bytes(text: str) -> int:
    if text.isascii():
        return 2 * len(text)
    try:
        return len(text.encode("utf-16-le"))
    except UnicodeEncodeError as error:
        raise StorageLimit("text holds half a character (a lone surrogate)") from error


def _sent_bytes(operation: Operation) -> int:
    """Estimate from above what an operation takes in a request: JSON, binary as base64."""
    properties = {} if isinstance(operation, Remove) else operation.properties
    values = sum(_PROPERTY_OVERHEAD_BYTES + 2 * len(name) + _sent_value_bytes(value) for name, value in properties.items())
    return _OPERATION_OVERHEAD_BYTES + values


def _sent_value_bytes(value: Scalar) -> int:
    if isinstance(value, bytes):
        return (len(value) + 2) // 3 * 4
    if isinstance(value, str):
        return len(orjson.dumps(value)) if value.isascii() else 6 * len(value)
    return 20
