"""`make bench`: how fast the machinery is, as ratios inside one run.

Each round measures both sides one after the other, so that a machine that slows down slows both. A line a target: name, median ratio,
range, target, ok or short; the exit status is 1 if one is short.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

from tests.bench import core

ROUNDS = 7

TARGETS: list[tuple[str, Callable[[], float], float]] = [
    ("full typed path / stock kombu memory:// with JSON [CPU]", core.path_against_stock, 0.45),
    ("latency p50 at 1,000/s / SimpleQueue with msgspec", lambda: core.latency_against_simple_queue(50), 2.5),
    ("latency p99 at 1,000/s / SimpleQueue with msgspec", lambda: core.latency_against_simple_queue(99), 3.0),
    ("publish with 1,000 queues on 100 keys / stock kombu [CPU]", core.routing_against_stock, 0.2),
    ("two trace rows' cost / full typed path [CPU], per row", core.trace_row_against_path, 0.1),
    ("virtual time / wall clock in one thread [CPU]", core.virtual_against_wall, 1.5),
    ("cost an event at 1,000,000 events / at 10,000 [CPU]", core.long_against_short, 1.1),
]


def main(names: list[str]) -> int:
    """Measure every target whose name holds one of *names*, or all; return 1 if one is short."""
    short = 0
    for name, measure, target in TARGETS:
        if names and not any(part in name for part in names):
            continue
        rounds = 5 if measure is core.long_against_short else ROUNDS
        ratios = sorted(measure() for _ in range(rounds))
        median = statistics.median(ratios)
        verdict = "ok" if median <= target else "short"
        short += verdict == "short"
        print(f"{name:62} {median:6.3f}  ({ratios[0]:.3f} to {ratios[-1]:.3f})  target {target:g}  {verdict}", flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
