"""The one record that every check under faults prints."""

from __future__ import annotations

import json
import os
from collections import Counter

from edakit import App

FULL = os.environ.get("EDAKIT_CHAOS") == "full"
"""Whether the full sizes of the checks are asked for (`make chaos`)."""


def record(check: str, app: App, applied: Counter[str], *, seed: int = 0, **more: object) -> dict[str, object]:
    """Return and print what became of the events of one run; null is what a check does not look at.

    An event is lost where fewer components came to an end with it than queues took it.
    """
    queues = {row.event: row.queues for row in app.trace.publications}
    outcomes = Counter(row.outcome for row in app.trace.deliveries)
    ends = Counter((row.event, row.component) for row in app.trace.deliveries if row.outcome in {"handled", "ignored", "duplicate", "dead"})
    ended = Counter(event for event, _ in ends)
    handled = Counter((row.event, row.component) for row in app.trace.deliveries if row.outcome == "handled")
    found = {
        "check": check,
        "attempt": len(app.trace.publications),
        "confirmed": len(queues),
        "uncertain": None,
        "applied": sum(applied.values()),
        "lost": sum(max(0, count - ended[event]) for event, count in queues.items()),
        "duplicated_delivery": outcomes["duplicate"] + sum(count - 1 for count in handled.values()),
        "double_applied": sum(count - 1 for count in applied.values() if count > 1),
        "dead": outcomes["dead"],
        "crashed": outcomes["crashed"],
        "retried": outcomes["retried"],
        "out_of_order": None,
        "recovery_s": None,
        "seed": seed,
        **more,
    }
    print(json.dumps(found))
    return found
