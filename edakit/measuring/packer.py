"""A worker in a process of its own, for the experiment that kills it: `python -m edakit.measuring.packer`, started by `killing.py`.

Its first line of input is its settings, as JSON (an address holds a password, and every user of a machine can read arguments); when its input
ends, it stops. It tells what it does on its output, a line of JSON each: what a killed process has written is still there for its parent.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from edakit.app import App
from edakit.component import Component
from edakit.measuring.crew import MOMENTS, QUEUE, ParcelOrdered

__all__ = ["main", "packing"]

_telling = threading.Lock()


def packing(settings: Mapping[str, Any]) -> Component:
    """Return the component.

    Args:
        settings: prefetch, hands (orders at a time), ack ("after" or "before"), takes [s], and jams: at which of its orders, from 1, it is stuck
            for ever, and in which of `MOMENTS`.
    """
    component = Component(QUEUE, concurrency=settings["hands"], prefetch=settings["prefetch"], ack=settings["ack"])
    jams, numbers = settings["jams"], itertools.count(1)

    @component.on(ParcelOrdered)
    def pack(event: ParcelOrdered, context: Any) -> None:
        jam = jams.get(str(next(numbers)))
        _tell("began", event.number, context.message.redelivered)
        time.sleep(settings["takes"])
        if jam == MOMENTS[0]:
            _hang(event.number)
        _tell("packed", event.number)
        if jam == MOMENTS[1]:
            _hang(event.number)
        _tell("ended", event.number)

    return component


def _hang(number: int) -> None:
    _tell("jammed", number)
    threading.Event().wait()


def _tell(what: str, *about: Any) -> None:
    with _telling:
        print(json.dumps([what, time.time(), *about]), flush=True)  # noqa: T201 (its parent reads it)


def main() -> None:
    """Serve until the input ends."""
    settings = json.loads(sys.stdin.readline())
    with App(packing(settings), broker=settings["url"]):
        _tell("ready")
        sys.stdin.read()


if __name__ == "__main__":
    main()
