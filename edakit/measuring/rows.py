"""The deliveries of a trace as arrays of numbers, so that a million of them can be counted in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edakit.trace import Delivered, Publication

__all__ = ["ENDS", "Rows", "rows_of"]

ENDS = ("handled", "dead", "ignored", "duplicate", "refused")
"""Outcomes after which a component has nothing more to do with an event; retried and crashed come back."""


class Rows(NamedTuple):
    """Deliveries, one entry each, in the order in which they ended.

    Attributes:
        event: Index of the event among the publications; -1 where its publication was not seen.
        component: Who got it.
        worker: Which of its workers.
        attempt: 1 for the first try.
        outcome: As in `edakit.trace.Delivered`.
        due_at, published_at, started_at, done_at: Times [ns].
    """

    event: NDArray[np.int64]
    component: NDArray[np.str_]
    worker: NDArray[np.int64]
    attempt: NDArray[np.int64]
    outcome: NDArray[np.str_]
    due_at: NDArray[np.int64]
    published_at: NDArray[np.int64]
    started_at: NDArray[np.int64]
    done_at: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Return the entries for which *mask*, shape (n,), is True."""
        return Rows._make(column[mask] for column in self)

    def final(self) -> Rows:
        """Return the last entry of each event at each component, where that was an end."""
        return self.where(np.isin(self.outcome, ENDS))


def rows_of(publications: Sequence[Publication], deliveries: Sequence[Delivered]) -> Rows:
    """Join *deliveries* with what is known of their publication; where that was not seen, its times are when the event was received."""
    known = {row.event: number for number, row in enumerate(publications)}
    event = np.array([known.get(row.event, -1) for row in deliveries], dtype=np.int64)
    received = _times(deliveries, "received_at")
    published = _join(event, received, publications, "published_at")
    due = _join(event, received, publications, "due_at")
    names = (np.array([getattr(row, name) for row in deliveries], dtype=np.str_) for name in ("component", "outcome"))
    component, outcome = names
    numbers = (_times(deliveries, name) for name in ("worker", "attempt"))
    worker, attempt = numbers
    return Rows(event, component, worker, attempt, outcome, due, published, _times(deliveries, "started_at"), _times(deliveries, "done_at"))


def _times(rows: Sequence[Any], name: str) -> NDArray[np.int64]:
    return np.array([getattr(row, name) for row in rows], dtype=np.int64)


def _join(event: NDArray[np.int64], otherwise: NDArray[np.int64], publications: Sequence[Publication], name: str) -> NDArray[np.int64]:
    values = np.append(_times(publications, name), 0)
    return np.where(event >= 0, values[event], otherwise)
