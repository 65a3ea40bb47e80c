"""Where nodes live: one folder a broker for all programs of a user, and temporary ones that go with the program that made them."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["abandoned", "shared_folder", "state_folder", "temporary_folder"]

DOUBT = 60.0  # clocks are set; a process that began this much later than its folder was made is another one [s]


def state_folder() -> Path:
    """Return where edakit keeps the state of this machine's brokers: $EDAKIT_STATE, else where the system keeps such things."""
    base = os.environ.get("EDAKIT_STATE") or _usual()
    # A home folder may be shared by many machines, and each has processes and ports of its own.
    folder = Path(base) / "brokers" / (platform.node() or "this-machine")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _usual() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "edakit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "edakit"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edakit"


def shared_folder(name: str) -> Path:
    """Return the folder of the node that all programs of the user share."""
    return state_folder() / name


def temporary_folder(name: str) -> Path:
    """Make a folder for a node of this process alone; its name says whose it is and since when."""
    beside = state_folder() / "temporary"
    beside.mkdir(exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-{time.time():.0f}-", dir=beside))


def abandoned() -> Iterator[tuple[str, Path]]:
    """Yield name and folder of each node whose process was killed before it could stop it."""
    for folder in (state_folder() / "temporary").glob("*-*-*-*"):
        name, pid, made, _ = folder.name.split("-", maxsplit=3)
        if not _owned(int(pid), float(made)):
            yield name, folder


def _owned(pid: int, made: float) -> bool:
    try:
        owner = psutil.Process(pid)
        return bool(owner.status() != psutil.STATUS_ZOMBIE and owner.create_time() < made + DOUBT)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's now, or not: in doubt, nothing is killed
        return True
