"""Prints its process id and its argument, and stays: for the test of ``--when-ready``."""

from __future__ import annotations

import os
import signal
import sys

print(os.getpid(), sys.argv[1], flush=True)  # noqa: T201 -- the test reads it
signal.pause()
