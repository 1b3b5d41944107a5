"""What the host writes to the error stream: no values of requests, so no exception texts and no access log."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_SILENT = ("uvicorn.access",)
"""It would write query strings, in which a search carries the patient's name."""


def log_to_stderr() -> None:
    """Send warnings and errors to the error stream."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_WithoutTexts("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in _SILENT:
        logging.getLogger(name).addFilter(lambda _: False)


class _WithoutTexts(logging.Formatter):
    """Shows where an exception came from and its class, but not its text, which may quote a dataset."""

    def formatException(  # noqa: N802 -- the library's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        if ei[0] is None:
            return ""
        places = "".join(traceback.format_tb(ei[2]))
        return f"{places}{ei[0].__name__}"
