"""Who may call the service in a local run: everyone on this machine, or whoever has a token."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shared.access import open_for_local_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPEN = "The service is open to everyone on this machine. --auth runs it closed, as it runs on Azure."
_CLOSED = """\
The service is closed: requests need a token of {issuer}. Send it so:
  curl -H 'Authorization: Bearer TOKEN' '{url}/v2/studies'"""
_THROW_AWAY = "an issuer that this run brings and that ends with it; its tokens are printed below, good for {hours} hours"
_THEIRS = "the issuer that AUTHORITY names"


@contextmanager
def chosen_auth(url: str, *, wanted: bool) -> Iterator[Mapping[str, str]]:
    """Open the service, or close it and set the app settings of the issuer while the host runs: the operator's, else our own.

    Gives tokens to try, by name; none where there is no issuer of ours.

    Parameters
    ----------
    url
        Where the service will be.
    wanted
        Whether callers need tokens.

    Raises
    ------
    NotConfigured
        It cannot be opened, since the process carries the mark of an Azure function app.
    """
    if not wanted:
        open_for_local_host()
        _say(_OPEN)
        yield {}
    elif os.environ.get("AUTHORITY"):
        _say(_CLOSED.format(issuer=_THEIRS, url=url))
        yield {}
    else:
        from localhost.issuer import TOKEN_HOURS, running_issuer  # noqa: PLC0415 -- cryptography takes 0.1 s to import

        with running_issuer() as issuer:
            os.environ.update(issuer.settings)
            _say(_CLOSED.format(issuer=_THROW_AWAY.format(hours=TOKEN_HOURS), url=url))
            yield issuer.tokens


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 -- a command line's way to speak
