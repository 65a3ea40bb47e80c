"""Run code that a student wrote: it may raise, and it may never end, and neither may stop the notebook."""

from __future__ import annotations

import ctypes
import linecache
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, TypeVar

from edakit.errors import EdakitError

__all__ = ["NoEndError", "Place", "place_of", "run_bounded"]

_T = TypeVar("_T")
_PATHS: Final = sysconfig.get_paths()
_LIBRARY: Final = tuple(
    os.path.normcase(path) + os.sep for path in {str(Path(__file__).parents[1]), *(_PATHS[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))}
)
_PATIENCE = 0.01  # between two attempts to stop a thread [s]
_ATTEMPTS = 200  # an `except:` inside the endless loop may catch the first ones


@dataclass(frozen=True)
class Place:
    """A line that the student wrote.

    Attributes:
        line: Its number in the cell, from 1.
        text: What it says.
    """

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line} of your cell, `{self.text}`" if self.text else f"line {self.line} of your cell"


class NoEndError(EdakitError):
    """Code did not come to its end in the time that it was given."""

    def __init__(self, seconds: float, place: Place | None) -> None:
        self.seconds, self.place = seconds, place
        super().__init__(seconds, place)

    def __str__(self) -> str:
        return f"it was still running after {self.seconds:g} s{f', in {self.place}' if self.place else ''}; give the loop an end"


class _Stop(BaseException):
    """Raised inside a thread from outside; no `except Exception` catches it."""


def run_bounded(work: Callable[[], _T], seconds: float) -> _T:
    """Return what *work* returns, or raise what it raises; stop it after *seconds* [s].

    It runs in a thread of its own, where `asyncio.run` works too (a notebook's own thread has a loop already). Stop in the notebook stops it.

    Raises:
        NoEndError: it was still running.
    """
    outcome: dict[str, Any] = {}

    def target() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:  # noqa: BLE001 (it is raised again in the thread that waits)
            outcome["error"] = error

    thread = threading.Thread(target=target, name="exercise", daemon=True)
    thread.start()
    try:
        thread.join(seconds)
        if thread.is_alive():
            raise NoEndError(seconds, _place_now(thread))
    finally:
        _stop(thread)
    if "error" in outcome:
        raise outcome["error"]
    value: _T = outcome["value"]
    return value


def place_of(error: BaseException) -> Place | None:
    """Return the last line that a student wrote on the way to *error*; None if there was none."""
    return _last(_frames_of_traceback(error.__traceback__))


def _place_now(thread: threading.Thread) -> Place | None:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 (documented, in spite of its name)
    return _last(reversed([(each, each.f_lineno) for each in _frames(frame)]))


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _frames_of_traceback(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _last(frames: Iterable[tuple[FrameType, int]]) -> Place | None:
    place = None
    for frame, line in frames:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen") and not os.path.normcase(file).startswith(_LIBRARY):
            place = Place(line, linecache.getline(file, line).strip())
    return place


def _stop(thread: threading.Thread) -> None:
    for _ in range(_ATTEMPTS):
        if not thread.is_alive():
            return
        # It arrives between two instructions of Python; what sleeps in C notices later, and does no harm until then.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        thread.join(_PATIENCE)
