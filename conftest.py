"""Tests and chapters run the same on every machine: nobody has guessed, nothing shows progress, and the broker is in memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def pytest_configure() -> None:
    """Set what the kernels of nbval inherit; `make notebooks` sets the same."""
    os.environ["EDAKIT_PREDICTIONS"] = str(Path(tempfile.gettempdir()) / f"edakit-no-predictions-{os.getpid()}.json")
    os.environ["EDAKIT_PROGRESS"] = "0"
    os.environ.pop("EDAKIT_BROKER", None)
