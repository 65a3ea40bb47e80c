"""The one record that every check under faults prints."""

from __future__ import annotations

import json
import os
from collections import Counter

from edakit import App

FULL = os.environ.get("EDAKIT_CHAOS") == "full"
"""Whether the full sizes of the checks are asked for (`make chaos`)."""


def record(check: str, app: App, applied: Counter[str], *, seed: int = 0, **more: object) -> dict[str, object]:
    """Return and print what became of the events of one run, by event id and component."""
    published = {row.event: row.queues for row in app.trace.publications}
    handled = Counter(row.event for row in app.trace.deliveries if row.outcome == "handled")
    dead = sum(row.outcome == "dead" for row in app.trace.deliveries)
    found = {
        "check": check,
        "attempt": len(app.trace.publications),
        "confirmed": len(published),
        "uncertain": 0,
        "applied": sum(applied.values()),
        "lost": sum(1 for event, queues in published.items() if queues and not handled[event] and not dead),
        "duplicated_delivery": sum(max(0, count - published.get(event, 1)) for event, count in handled.items()),
        "double_applied": sum(count - 1 for count in applied.values() if count > 1),
        "dead": dead,
        "seed": seed,
        **more,
    }
    print(json.dumps(found))
    return found
