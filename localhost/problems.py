"""What keeps the host from starting, said so that the reader knows what to do."""

from __future__ import annotations


class StartupProblem(Exception):
    """The host cannot start; the message says why, and what would help."""


class PortOccupied(StartupProblem):
    """Somebody else listens on the port."""
