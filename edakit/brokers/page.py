"""The page on delivery semantics, made from the table of capabilities: `edakit brokers table > docs/brokers.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from edakit.brokers.promises import PROMISES, Promise
from edakit.capabilities import BROKERS, Capabilities, able
from edakit.transports.refused import REFUSED

__all__ = ["QUESTIONS", "page"]

QUESTIONS: Final = {
    "processes": ("Several processes", "it lives in one process"),
    "durable": ("Survives the process", "the end of the process is the end of its events"),
    "shares_events": ("Consumers share a queue event by event", "they share it by partition, and all events of one key go to one of them"),
    "replay": ("Replay", "`CapabilityError`"),
    "delayed": ("Delays", "`CapabilityError`"),
    "bounds": ("Bounded queues", "`CapabilityError`"),
    "drops": ("A full queue can drop", "`CapabilityError`"),
    "must_route": ("`must_route`", "`CapabilityError`"),
    "counts_queues": ("A receipt counts the queues", "`receipt.queues` is None, or 0 where the broker says that nobody is bound"),
    "virtual_time": ("Virtual time", "`CapabilityError`"),
}
"""By capability: what it is called on the page, and what a *no* means."""

_HEAD: Final = """\
<!-- Made from edakit/capabilities.py: python -m edakit brokers table > docs/brokers.md -->
# What each broker promises

The same program runs on each broker; only the address changes. This page says what stays the same, what differs, and when *not* to use one.

## On all of them

- **At least once.** `publish` returns when the broker has the event, or it raises. An event is acked after its handler has returned.
  What a handler publishes is confirmed before the event that caused it is acked. A crash can repeat work; it cannot lose a consequence.
- **Repeats have the same id.** Handlers are idempotent, or the component has an `Inbox`, which passes over ids that it has seen;
  one in memory forgets them when its process is killed. A `DatabaseInbox` commits an id in one transaction with what the handler writes:
  that is written once, whenever the process is killed.
- **At most once, if you ask for it:** `Component(…, ack="before")`.
- **Retry.** A failing handler is tried `max_attempts` times, with growing, random pauses. Then the event is a dead letter, with its reason.
  `redrive` tries it again. An event whose handler kills the process comes back each time: a kill is no attempt that failed.
- **Order under retry.** Order holds while nothing is retried and one worker serves the component. A retried event comes behind later ones.
  `Component(…, order="per key")` holds the later events of that key back instead. Where consumers share a queue event by event, that is so within
  one process; where they share it by partition, in all.
- **Isolation.** Each component has its own queue. A retry, a crash or a dead letter in one queue never reaches another.
- **Two users of one broker** are kept apart by `?namespace=` in the address.
"""
_REFUSED_HEAD: Final = """\
## Brokers that kombu knows and edakit refuses

Their addresses raise `BrokerURLError` with this reason. The reasons were measured, or read in the source of kombu 5.7.0.
"""


def page() -> str:
    """Return the page, in Markdown."""
    kinds = _kinds()
    parts = [_HEAD, "## At a glance\n", _matrix(kinds), *(_section(names, kind) for names, kind in kinds.items()), _REFUSED_HEAD, _refused()]
    return "\n".join(parts)


def _kinds() -> dict[str, tuple[Capabilities, Promise]]:
    """Return the brokers, those that differ in their name only as one: the same server, spoken to with and without TLS."""
    found: dict[tuple[Capabilities, int], list[str]] = {}
    for scheme, broker in BROKERS.items():
        found.setdefault((replace(broker, name=""), id(PROMISES[scheme])), []).append(scheme)
    return {", ".join(f"`{scheme}://`" for scheme in schemes): (BROKERS[schemes[0]], PROMISES[schemes[0]]) for schemes in found.values()}


def _matrix(kinds: dict[str, tuple[Capabilities, Promise]]) -> str:
    rows = [
        [title, *("yes" if getattr(broker, capability) else "no" for broker, _ in kinds.values()), meaning]
        for capability, (title, meaning) in QUESTIONS.items()
    ]
    return _table(["", *kinds, "what a *no* means"], rows)


def _section(names: str, kind: tuple[Capabilities, Promise]) -> str:
    points = [f"- **{title}** {text}" for title, text in _points(*kind)]
    return "\n".join([f"## {names}\n", *points, "- **Do not use it**", *(f"  - {reason}" for reason in kind[1].avoid), ""])


def _points(broker: Capabilities, promise: Promise) -> Iterator[tuple[str, str]]:
    yield "Made for.", promise.made_for
    yield "When `publish` returns.", promise.confirmed
    yield "When it raises.", promise.failed
    yield "After a crash.", promise.repeated
    yield "Order.", promise.order
    for capability, (title, meaning) in QUESTIONS.items():
        if text := promise.details.get(capability):
            yield f"{title}.", text
        elif not getattr(broker, capability):
            yield f"{title}: no.", _no(capability, meaning)


def _no(capability: str, meaning: str) -> str:
    text = meaning[0].upper() + meaning[1:]
    *others, last = [f"`{name}`" for name in able(capability)]
    return f"{text}; use {', '.join(others)}{' or ' if others else ''}{last}." if "Error" in meaning else f"{text}."


def _refused() -> str:
    # Schemes with one reason stand together.
    found: dict[tuple[str, str], list[str]] = {}
    for scheme, refused in REFUSED.items():
        found.setdefault(refused, []).append(f"`{scheme}://`")
    rows = [[", ".join(schemes), why, re.sub(r"\w+://", r"`\g<0>`", instead)] for (why, instead), schemes in found.items()]
    return _table(["address", "why not", "use instead"], rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
