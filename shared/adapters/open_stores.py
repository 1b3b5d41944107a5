"""What an opened set of adapters consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.ports import Stores


@dataclass(frozen=True, slots=True)
class OpenStores:
    """Stores, and what belongs to having them open.

    Attributes
    ----------
    stores
        The ports.
    prepare
        Makes containers, tables and queues that are missing.
    watch_inbox
        Runs until cancelled: announces files that people drop into the inbox folder. None where the store does so itself.
    close
        Flushes and releases everything.
    """

    stores: Stores
    prepare: Callable[[], Awaitable[None]]
    watch_inbox: Callable[[], Awaitable[None]] | None
    close: Callable[[], Awaitable[None]]
