"""What workers of one queue did with its orders, attempt by attempt: in virtual time, on a real broker, or read from a file."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edakit.errors import InvalidValueError

__all__ = ["Attempt", "CrewRun", "Death", "load_runs", "save_runs"]


class Attempt(NamedTuple):
    """One worker had one order in its hands.

    Attributes:
        order: Number of the order, from 0, in the order of publication.
        worker: Number of the worker, from 0.
        redelivered: Whether the broker had handed it out before.
        began: When its handler began, from the publication of the first order [s].
        packed: When its parcel was packed [s]; None if it was not.
        ended: When its handler ended [s]; None if the worker died before.
    """

    order: int
    worker: int
    redelivered: bool
    began: float
    packed: float | None
    ended: float | None


class Death(NamedTuple):
    """One worker died.

    Attributes:
        worker: Number of the worker, from 0.
        at: When, from the publication of the first order [s].
    """

    worker: int
    at: float


@dataclass(frozen=True)
class CrewRun:
    """Orders of one queue, and the workers that shared them.

    Args:
        orders: How many orders were published.
        workers: How many workers there were.
        attempts: Everything that was begun, in the order in which it began.
        deaths: Who died, and when.
        waiting: How many orders were still in the queue at the end.
        where: On which broker, and when it was recorded if that was not now.
    """

    orders: int
    workers: int
    attempts: tuple[Attempt, ...]
    deaths: tuple[Death, ...] = ()
    waiting: int = 0
    where: str = "memory://, virtual time"

    @property
    def parcels(self) -> tuple[int, ...]:
        """How often each order was packed, shape (orders,)."""
        packed = Counter(attempt.order for attempt in self.attempts if attempt.packed is not None)
        return tuple(packed[order] for order in range(self.orders))

    @property
    def lost(self) -> int:
        """How many orders were never packed, and wait nowhere [orders]."""
        return self.parcels.count(0) - self.waiting

    @property
    def of_them_not_begun(self) -> str:
        """How many of the lost orders no worker had begun, in brackets, for a sentence; "" if none: they lay in a bag that is gone."""
        begun = {attempt.order for attempt in self.attempts}
        unseen = self.orders - len(begun) - self.waiting
        return f" ({unseen} of them not begun)" if unseen and self.lost else ""

    @property
    def twice(self) -> int:
        """How many orders were packed more than once [orders]."""
        return sum(times > 1 for times in self.parcels)

    @property
    def came_back(self) -> int:
        """How many orders were handed out a second time [orders]."""
        return len({attempt.order for attempt in self.attempts if attempt.redelivered})

    @property
    def back_after(self) -> float:
        """From the first death until the first order that came back was begun [s]; not a number if none came."""
        times = [attempt.began for attempt in self.attempts if attempt.redelivered]
        return min(times) - min(death.at for death in self.deaths) if times and self.deaths else math.nan

    @property
    def over_at(self) -> float:
        """When the last attempt ended [s]; 0 if none did."""
        return max((attempt.ended for attempt in self.attempts if attempt.ended is not None), default=0.0)

    def packed_by(self, worker: int) -> int:
        """Return how many parcels this worker packed [orders]."""
        return sum(attempt.worker == worker and attempt.packed is not None for attempt in self.attempts)


def save_runs(path: str | Path, runs: Mapping[str, CrewRun]) -> None:
    """Write *runs*, by name, to *path* as JSON."""
    text = json.dumps({name: asdict(run) for name, run in runs.items()}, ensure_ascii=False, separators=(",", ":"))
    Path(path).write_text(f"{text}\n", encoding="utf-8", newline="\n")


def load_runs(path: str | Path) -> dict[str, CrewRun]:
    """Read what `save_runs` wrote.

    Raises:
        InvalidValueError: the file holds something else.
    """
    try:
        return {name: _load(found) for name, found in json.loads(Path(path).read_text(encoding="utf-8")).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidValueError(f"the file {path}", repr(error), "what save_runs wrote") from None


def _load(found: dict[str, Any]) -> CrewRun:
    attempts = tuple(Attempt._make(row) for row in found.pop("attempts"))
    deaths = tuple(Death._make(row) for row in found.pop("deaths"))
    return CrewRun(attempts=attempts, deaths=deaths, **found)
