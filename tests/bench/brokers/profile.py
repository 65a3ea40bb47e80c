"""Where edakit's time goes in one measurement: cProfile in each thread that works, waiting included."""

from __future__ import annotations

import cProfile
import pstats
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LINES = 12
"""How many functions are shown, those with the most time of their own first."""


@contextmanager
def profiled(answer: list[str]) -> Iterator[None]:
    """Profile this thread and those that it starts; put lines of text into *answer*."""
    profiles = [cProfile.Profile()]
    run = threading.Thread.run

    def run_profiled(thread: Any) -> None:
        profiles.append(profile := cProfile.Profile())
        profile.runcall(run, thread)

    threading.Thread.run = run_profiled  # type: ignore[method-assign]  # the threads of a measurement begin and end within it
    try:
        profiles[0].runcall(lambda: None)
        profiles[0].enable()
        yield
    finally:
        profiles[0].disable()
        threading.Thread.run = run  # type: ignore[method-assign]  # as above
        answer += _lines(profiles)


def _lines(profiles: list[cProfile.Profile]) -> list[str]:
    stats = pstats.Stats(profiles[0])
    for profile in profiles[1:]:
        stats.add(profile)
    rows = sorted(stats.stats.items(), key=lambda item: -item[1][2])  # type: ignore[attr-defined]  # (file, line, name): (calls, , own time, …)
    whole = sum(numbers[2] for _, numbers in rows)
    heads = f"{'own time':>8}  {'calls':>8}  {'a call':>9}  function"
    return [heads, *(f"{own / whole:8.1%}  {calls:8,}  {own / calls * 1e6:6.1f} µs  {_name(place)}" for place, (_, calls, own, *_) in rows[:LINES])]


def _name(place: tuple[str, int, str]) -> str:
    """Return file and function, without the folders of this machine."""
    file, _, name = place
    name = re.sub(r" at 0x\w+", "", name)
    return name if file == "~" else f"{'/'.join(Path(file).parts[-2:])}: {name}"
