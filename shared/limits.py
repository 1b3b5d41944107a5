"""How much one caller may ask at once. Not: how large a request may be.

Each process keeps its own count: the numbers are per instance of the app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.access import Caller


class CallerLimits(Protocol):
    """Admits requests."""

    def admit(self, caller: Caller) -> Callable[[], None]:
        """Take a request in; give what is to be called, once, when it is done.

        Raises
        ------
        TooManyRequests
            The caller has to wait.
        """
        ...
