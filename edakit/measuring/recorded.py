"""Runs in files: a trace each, and beside them how and where they were made; for what cannot be run on every machine."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edakit.errors import InvalidValueError
from edakit.measuring.run import Run
from edakit.trace import Trace

__all__ = ["RecordedRun", "load_recording", "save_recording"]

ABOUT = "runs.json"
LISTS = {"deaths": tuple, "drops_newest": frozenset}
KEPT = ("seed", "clock", "broker", "start_ns", "length", "warmup", "waiting_events", "turned_away", "unsent", "takers", "interrupted", *LISTS)
"""What of a run is no part of its trace, and is saved beside it."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that was made elsewhere, and what is known of it.

    Attributes:
        run: As `measure` returned it; its label says that it is a recording.
        about: What else was written down, such as the version of the broker.
    """

    run: Run
    about: Mapping[str, str]


def save_recording(runs: Mapping[str, Run], about: Mapping[str, Mapping[str, str]], folder: str | Path, **made: str) -> None:
    """Write *runs*, by name, into *folder*: a compressed trace each, and `runs.json`.

    Args:
        runs: What was measured.
        about: What else is known of each of them.
        folder: Where to; it is made if need be.
        made: How, when and where all of them were made.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        run.trace.save(folder / _file(name))
    kept = {name: {"run": {field: _plain(getattr(run, field)) for field in KEPT}, "about": dict(about.get(name, {}))} for name, run in runs.items()}
    (folder / ABOUT).write_text(json.dumps({"made": made, "runs": kept}, indent=1) + "\n", encoding="utf-8")


def load_recording(folder: str | Path) -> dict[str, RecordedRun]:
    """Read what `save_recording` wrote, by name.

    Raises:
        InvalidValueError: a file is damaged.
        OSError: a file is not there.
    """
    path = Path(folder) / ABOUT
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return {name: _read(path.parent, name, entry["run"], entry["about"]) for name, entry in kept.items()}
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InvalidValueError(str(path), f"{type(error).__name__}: {error}", "what save_recording wrote") from None


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def _read(folder: Path, name: str, fields: Mapping[str, Any], about: Mapping[str, str]) -> RecordedRun:
    kept = {field: LISTS[field](value) if field in LISTS else value for field, value in fields.items()}
    path = folder / _file(name)
    try:
        trace = Trace.load(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidValueError(str(path), str(error), "a whole file that save_recording wrote") from None
    run = Run(trace, label=f"{name} (recorded)", **kept)
    return RecordedRun(run, dict(about))


def _file(name: str) -> str:
    return f"{name.lower()}.trace.gz"
