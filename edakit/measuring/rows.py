"""The deliveries of a trace as arrays of numbers, so that a million of them can be counted in a moment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edakit.trace import Trace

__all__ = ["ENDS", "Rows", "rows_of"]

ENDS = ("handled", "dead", "ignored", "duplicate", "refused")
"""Outcomes after which a component has nothing more to do with an event; retried and crashed come back."""


class Rows(NamedTuple):
    """Deliveries, one entry each, in the order in which they ended; whatever else is known of them is in `Trace.columns`.

    Attributes:
        event: Number of the event: its place among the publications, from 0; where another process published it, a number beyond them.
        component: Who got it.
        outcome: As in `edakit.trace.Delivered`.
        due_at, published_at, started_at, done_at: Times [ns].
    """

    event: NDArray[np.int64]
    component: NDArray[np.str_]
    outcome: NDArray[np.str_]
    due_at: NDArray[np.int64]
    published_at: NDArray[np.int64]
    started_at: NDArray[np.int64]
    done_at: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Return the entries for which *mask*, shape (n,), is True."""
        return Rows._make(column[mask] for column in self)

    def pairs(self) -> NDArray[np.int64]:
        """Return a number for each entry, the same for the same event at the same component, shape (n,)."""
        names, component = np.unique(self.component, return_inverse=True)
        return self.event * names.size + component


def rows_of(trace: Trace) -> Rows:
    """Return the deliveries of *trace*, joined with what is known of their publication."""
    numbers = {row.event: number for number, row in enumerate(trace.publications)}
    columns = trace.columns(*Rows._fields)
    # An id that nobody published here gets the next number, so that two such events remain two.
    events = [numbers.setdefault(event, len(numbers)) for event in columns["event"].tolist()]
    return Rows(**columns)._replace(event=np.array(events, dtype=np.int64))
