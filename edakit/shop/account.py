"""What became of every line of a recorded day: what the recording says, beside what the shop did with it."""

from __future__ import annotations

from typing import Final

from edakit.shop.app import Shop
from edakit.shop.recording import RecordedDay
from edakit.shop.retail import Refusal
from edakit.table import Table

__all__ = ["account", "missing"]

_KINDS: Final = ("added", "returned", *map(str, Refusal))


def account(day: RecordedDay, shop: Shop) -> Table:
    """Return how many lines of *day* there are of each kind, and how many of them *shop* has put into a cart or taken back [lines]."""
    recorded, done = day.kinds, _done(shop)
    rows = [(kind, recorded[kind], done.get(kind)) for kind in _KINDS if recorded[kind]]
    return Table(("line", "recorded", "in the shop"), [*rows, ("all", sum(recorded.values()), None)], says=_sentence(shop))


def missing(day: RecordedDay, shop: Shop) -> dict[str, int]:
    """Return of which kind the shop has done how many lines too few, or too many if negative [lines]; empty is right."""
    recorded = day.kinds
    return {kind: recorded[kind] - count for kind, count in _done(shop).items() if recorded[kind] != count}


def _done(shop: Shop) -> dict[str, int]:
    added = sum(row.name == "cart.item.added" for row in shop.trace.publications)
    orders = shop.state.orders.orders
    returned = sum(len(orders[order_id].lines) for order_id in shop.state.payment.refunded if order_id in orders)
    return {"added": added, "returned": returned}


def _sentence(shop: Shop) -> str:
    counts = shop.state.orders.counts()
    return ", ".join(f"{count:,} {status}" for status, count in counts.items() if count).join(("Orders: ", ".")) if any(counts.values()) else "No order."
