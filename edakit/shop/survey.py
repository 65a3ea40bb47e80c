"""What a file of Online Retail holds, counted, and beside it what the whole data set holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from edakit.shop.retail import Line, Refusal
from edakit.table import Table

__all__ = ["FACTS", "LINES", "Survey"]

LINES: Final = 541_909
"""Lines of the whole data set [lines]."""

FACTS: Final = {
    "lines": LINES,
    "invoices": 25_900,
    "orders": 22_064,
    "cancellations": 3_836,
    "lines of cancellations": 9_288,
    "product codes": 4_070,
    "customers": 4_372,
    "lines of guests": 135_080,
    "lines without description": 1_454,
    Refusal.UNREADABLE: 0,
    Refusal.BAD_DEBT: 3,
    Refusal.WRITE_OFF: 1_336,
    Refusal.QUANTITY: 0,
    Refusal.PRICE: 2_517,
    Refusal.NO_PRODUCT: 2_995,
}
"""Counted from the whole data set (Chen 2015, https://doi.org/10.24432/C5BW33); of the refusals each line counts for all of its reasons."""


class Survey:
    """Counts of the lines that were seen.

    Attributes:
        days: How many lines each day has [lines].
        kinds: How many lines were added, returned, or refused for which first reason [lines].
        reasons: How many lines have each reason, also beside another one [lines].
        problems: The first few lines that could not be read, in words.
    """

    def __init__(self) -> None:
        self.days: Counter[date] = Counter()
        self.kinds: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.problems: list[str] = []
        self._counts: Counter[str] = Counter()
        self._invoices: set[str] = set()
        self._products: set[str] = set()
        self._customers: set[str] = set()

    def watch(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Count *lines* as they pass."""
        for line in lines:
            self.kinds[line.kind] += 1
            self.reasons.update(line.refusals)
            if line.problem:
                self._counts["lines"] += 1
                self.problems += [f"line {line.number}: {line.problem}"] * (len(self.problems) < 3)  # noqa: PLR2004 (enough to find out why)
            else:
                self._count(line)
            yield line

    def _count(self, line: Line) -> None:
        self.days[line.time.date()] += 1
        self._invoices.add(line.invoice)
        self._products.add(line.product_id)
        self._customers.add(line.customer)
        counts = self._counts
        counts["lines"] += 1
        counts["lines of cancellations"] += line.cancelled
        counts["lines of guests"] += not line.customer
        counts["lines without description"] += not line.name

    @property
    def facts(self) -> dict[str, int]:
        """The counts under the names of `FACTS`."""
        cancellations = sum(invoice.startswith("C") for invoice in self._invoices)
        found = {
            "invoices": len(self._invoices),
            "orders": len(self._invoices) - cancellations,
            "cancellations": cancellations,
            "product codes": len(self._products - {""}),
            "customers": len(self._customers - {""}),
        }
        return {name: {**self._counts, **self.reasons, **found}.get(name, 0) for name in FACTS}

    def table(self) -> Table:
        """Return what was found beside what the whole data set has, and say whether this is it."""
        rows = [(str(name), expected, self.facts[name]) for name, expected in FACTS.items()]
        return Table(("count", "data set", "this file"), rows, title="Online Retail", says=self.verdict())

    def verdict(self) -> str:
        """Say in a sentence whether this is the whole data set, and what differs."""
        found = self.facts
        if found == FACTS:
            return f"This is the whole data set: {LINES:,} lines, and every count is as it should be."
        differ = ", ".join(f"{name} {found[name]:,} instead of {expected:,}" for name, expected in FACTS.items() if found[name] != expected)
        broken = f" Lines that cannot be read: {'; '.join(self.problems)}." if self.problems else ""
        return f"This is not the whole data set ({differ}). If it should be, fetch it again.{broken}"
