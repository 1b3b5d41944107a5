"""Keys of an OpenID issuer, kept and fetched anew as needed. Not: fetching them once, which is ``openid_documents.py``.

They are fetched in a thread, once for all that wait, and not more often than every few seconds, whatever tokens come: made-up key
ids do not turn into requests to the issuer. While the issuer is away the keys that we have stay good for a day, by when no token
that it issued before is valid any more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Final

from shared.errors import ArchiveError, Busy

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.tokens import IssuerKeys

_log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 3600.0
"""After this keys are fetched anew: so long a key that the issuer has withdrawn may still be taken."""
KEPT_SECONDS: Final = 24 * 3600.0
"""After this keys that could not be fetched anew are not used any more."""
PAUSE_SECONDS: Final = 10.0
"""Between two fetches, whatever their outcome."""


class OpenIdKeys:
    """A ``KeySource`` for one issuer. Nothing is sent before the first token is to be checked.

    Parameters
    ----------
    authority
        The issuer's URL, without a slash at its end.
    clock
        Monotonic seconds.
    """

    def __init__(self, authority: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._authority, self._clock = authority, clock
        self._published: IssuerKeys | None = None
        self._fetched_at = self._tried_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self._problem = "they have not been fetched yet"

    async def current(self, key_id: str) -> IssuerKeys:
        """Give the keys, fetched anew where they are old or none has this id."""
        if self._published is None or key_id not in self._published.keys or self._age >= FRESH_SECONDS:
            await self._renew()
        if self._published is None or self._age >= KEPT_SECONDS:
            raise Busy(f"Tokens cannot be checked without the keys of AUTHORITY: {self._problem}.", int(PAUSE_SECONDS))
        return self._published

    @property
    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _renew(self) -> None:
        """Fetch the keys, unless that was tried just now; wait for it, unless we have some and the last attempt failed."""
        if self._fetching is None and self._clock() - self._tried_at >= PAUSE_SECONDS:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None and not (self._published and self._problem):
            await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            self._published = await asyncio.to_thread(self._ask)
            self._fetched_at, self._problem = self._clock(), ""
        except ArchiveError as error:
            self._problem = str(error)
            _log.warning("The keys of AUTHORITY could not be fetched: %s", error)
        finally:
            self._fetching = None

    def _ask(self) -> IssuerKeys:
        from shared.adapters.openid_documents import fetch_keys  # noqa: PLC0415 -- requests and cryptography take 0.2 s to import

        return fetch_keys(self._authority)
