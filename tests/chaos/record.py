"""The one record that every check under faults prints."""

from __future__ import annotations

import json
import os
from collections import Counter

from edakit import App
from edakit.trace import Publication
from tests.chaos.cart_process import Effects

FULL = os.environ.get("EDAKIT_CHAOS") == "full"
"""Whether the full sizes of the checks are asked for (`make chaos`)."""

TOLD: list[dict[str, object]] = []
"""What the test that runs has told; conftest.py takes it from here."""

_UNKNOWN = dict.fromkeys(
    ("attempt", "confirmed", "uncertain", "applied", "lost", "duplicated_delivery", "double_applied", "dead", "out_of_order", "recovery_s", "seed")
)


def tell(check: str, **found: object) -> dict[str, object]:
    """Print and return the record of one run; null is what a check does not look at.

    Args:
        check: As in "R1 sqlite, leases never end": number, broker, and what was done to it where that is not what the check says.
        found: What was counted, and what else this check measures.
    """
    told = {"check": check, **_UNKNOWN, **found}
    print(json.dumps(told))
    TOLD.append(told)
    return told


def record(check: str, app: App, applied: Counter[str], **more: object) -> dict[str, object]:
    """Tell what became of the events of one run of an app.

    An event is lost where fewer components came to an end with it than queues took it.
    """
    owed = {row.event: _owed(app, row) for row in app.trace.publications}
    outcomes = Counter(row.outcome for row in app.trace.deliveries)
    ends = Counter((row.event, row.component) for row in app.trace.deliveries if row.outcome in {"handled", "ignored", "duplicate", "dead"})
    ended = Counter(event for event, _ in ends)
    handled = Counter((row.event, row.component) for row in app.trace.deliveries if row.outcome == "handled")
    found = {
        "attempt": len(app.trace.publications),
        "confirmed": len(owed),
        "applied": sum(applied.values()),
        "lost": sum(max(0, count - ended[event]) for event, count in owed.items()),
        "duplicated_delivery": outcomes["duplicate"] + sum(count - 1 for count in handled.values()),
        "double_applied": sum(count - 1 for count in applied.values() if count > 1),
        "dead": outcomes["dead"],
        "crashed": outcomes["crashed"],
        "retried": outcomes["retried"],
    }
    return tell(check, **found | more)


def _owed(app: App, row: Publication) -> int:
    """Return how many queues took an event; a broker that cannot tell has one for each component that handles its type."""
    return row.queues if row.queues >= 0 else sum(row.name in component.handlers for component in app.components.values())


def printed(check: str, confirmed: set[str], effects: Effects, **more: object) -> dict[str, object]:
    """Tell what became of events whose effects stand in a database; *confirmed* holds the ids of those that the broker has confirmed."""
    ids = effects.ids()
    found = {
        "attempt": len(confirmed),
        "confirmed": len(confirmed),
        "applied": len(ids & confirmed),
        "lost": len(confirmed - ids),
        "duplicated_delivery": effects.one("SELECT sum(deliveries - 1) FROM applied"),
        "double_applied": effects.one("SELECT sum(quantity) FROM cart") - len(ids),
        "seed": 0,
    }
    return tell(check, **found | more)
