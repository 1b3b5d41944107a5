"""The variables that settings are read from, and the forms their values have. Not: which settings there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from shared.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
C = TypeVar("C", bound=str)

MARK_OF_AZURE = "WEBSITE_INSTANCE_ID"

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine: plain http does not leave it."""


class Source:
    """The variables, and what was wrong with those read so far."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    @property
    def on_azure(self) -> bool:
        """Whether this process carries the mark of an Azure function app."""
        return MARK_OF_AZURE in self._environment

    def get(self, name: str) -> str | None:
        """Give a value without the blanks around it; None where nothing is left."""
        return self._environment.get(name, "").strip() or None

    def parse(self, name: str, parser: Callable[[str], T], default: T) -> T:
        """Give a value, or the default where it is missing, or wrong: a parser's ValueError says what it must be."""
        text = self.get(name)
        if text is None:
            return default
        try:
            return parser(text)
        except ValueError as error:
            self.reject(f"{name} {error}")
            return default

    def reject(self, problem: str) -> None:
        """Remember what is wrong; never with the value."""
        self._problems.append(problem)

    def complain(self) -> None:
        """Raise what was wrong.

        Raises
        ------
        NotConfigured
            Anything was.
        """
        if self._problems:
            raise NotConfigured("The service is not configured: " + "; ".join(self._problems) + ".")


_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


def base_url(text: str) -> str:
    """Read an absolute http(s) URL; gives it without a slash at its end."""
    if not _is_base_url(text):
        raise ValueError("must be an http(s) URL without query, name or password")
    return text.rstrip("/")


def _is_base_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    strange = parts.query or parts.fragment or "@" in parts.netloc or not text.isprintable() or " " in text
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not strange


def seconds(largest: float) -> Callable[[str], float]:
    """Make a parser of seconds above 0 and up to ``largest``."""

    def parse(text: str) -> float:
        if not _SECONDS.fullmatch(text) or not 0 < float(text) <= largest:
            raise ValueError(f"must be above 0 and at most {largest:.0f} seconds")
        return float(text)

    return parse


def whole_number(text: str) -> int:
    """Read a whole number, 0 too."""
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) == 0:
        raise ValueError("must be a whole number above 0")
    return int(text)


def boolean(text: str) -> bool:
    """Read ``true`` or ``false``."""
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def one_of(*choices: C) -> Callable[[str], C]:
    """Make a parser that takes these words only."""

    def parse(text: str) -> C:
        for choice in choices:
            if text == choice:
                return choice
        raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")

    return parse
