"""What happened when: a row for each publication and for each delivery, appended to plain lists."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edakit.errors import InvalidValueError
from edakit.table import Table

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OUTCOMES", "Delivered", "Publication", "Trace"]

OUTCOMES = ("handled", "retried", "dead", "duplicate", "ignored", "refused", "crashed")


class Publication(NamedTuple):
    """One event was published.

    Attributes:
        event: Its id.
        cause: Id of the event whose handler published it; empty for the first of a chain.
        correlation: Id of the first event of the chain.
        name: Its type.
        source: Who published it.
        due_at: When the workload meant to publish it [ns]; else the same as published_at.
        published_at: When the broker was asked to take it [ns].
        queues: How many queues took it; 0 is unrouted, -1 unknown.
    """

    event: str
    cause: str
    correlation: str
    name: str
    source: str
    due_at: int
    published_at: int
    queues: int


class Delivered(NamedTuple):
    """One delivery of an event to a component came to its end.

    Attributes:
        event: Id of the event.
        component: Who was to handle it.
        worker: Which of the component's workers did, from 0.
        attempt: 1 for the first try.
        outcome: handled, retried (it failed and will be tried again), dead, ignored (no handler knows its type), duplicate (the inbox
            knows its id), crashed (the worker died; it comes back), refused (the queue was full and its policy is to drop).
        received_at: When the loop took it from the queue [ns].
        started_at: When the worker began [ns].
        done_at: When it was over, before the ack [ns].
    """

    event: str
    component: str
    worker: int
    attempt: int
    outcome: str
    received_at: int
    started_at: int
    done_at: int


class Trace:
    """The record of a run. Rows are plain tuples in the order in which things happened; numpy is loaded only when columns are read."""

    def __init__(self) -> None:
        self._publications: list[tuple[Any, ...]] = []
        self._deliveries: list[tuple[Any, ...]] = []
        # Bound once: the loop writes two rows an event, and a row may cost at most a tenth of the event's whole path.
        self.published = self._publications.append
        self.delivered = self._deliveries.append

    @property
    def publications(self) -> list[Publication]:
        """Every publication, in order."""
        return list(map(Publication._make, self._publications))

    @property
    def deliveries(self) -> list[Delivered]:
        """Every delivery, in the order in which they ended."""
        return list(map(Delivered._make, self._deliveries))

    @property
    def ended(self) -> int:
        """How many deliveries have come to their end [deliveries]."""
        return len(self._deliveries)

    def columns(self, *names: str) -> dict[str, np.ndarray[Any, Any]]:
        """Join the rows: one entry a delivery, with what is known of its publication.

        Args:
            names: Fields of `Delivered` and `Publication`; all of them unless given. A million texts take time and memory: name what is needed.

        Returns:
            Arrays of shape (n,), by name; times are int64 [ns]. A delivery whose publication was not seen here (another process published it)
            takes `received_at` for both of its times.

        Raises:
            InvalidValueError: there is no such field.
        """
        import numpy as np  # noqa: PLC0415 (the language floor loads no numpy)

        known = {row[0]: row for row in self._publications}
        origins = [known.get(row[0]) or (row[0], "", row[0], "", "", row[5], row[5], -1) for row in self._deliveries]
        places = {name: (self._deliveries, place) for place, name in enumerate(Delivered._fields)}
        places |= {name: (origins, place) for place, name in enumerate(Publication._fields) if name not in places}
        if unknown := [name for name in names if not isinstance(name, str) or name not in places]:
            raise InvalidValueError("names", unknown, f"some of {list(places)}")
        kinds = {name: np.int64 if name in {"worker", "attempt", "queues"} or name.endswith("_at") else np.str_ for name in places}
        return {name: np.array(list(map(itemgetter(places[name][1]), places[name][0])), dtype=kinds[name]) for name in names or places}

    def report(self, waiting: Mapping[str, int], dead: Iterable[str]) -> Table:
        """Return how the deliveries of each component ended, and how many are *waiting* there [events]; say who is *dead*, one line each."""
        counts = Counter((row.component, row.outcome) for row in self.deliveries)
        rows = [(name, *(counts[name, outcome] for outcome in OUTCOMES), number) for name, number in waiting.items()]
        refused = {row.event for row in self.deliveries if row.outcome == "refused"}
        unrouted = sum(row.queues == 0 and row.event not in refused for row in self.publications)
        says = f"{len(self._publications)} events were published, {unrouted} of them to nobody."
        return Table(("component", *OUTCOMES, "waiting"), rows, says="\n".join([says, *(f"Dead: {line}" for line in dict.fromkeys(dead))]))

    def lines(self) -> Iterator[str]:
        """Yield every row as a line of JSON, publications first."""
        for kind, rows in (("published", self._publications), ("delivered", self._deliveries)):
            for row in rows:
                yield json.dumps([kind, *row], ensure_ascii=False, separators=(",", ":"))

    def digest(self) -> str:
        """Return a SHA-256 over all rows: equal digests are equal runs, byte for byte."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(f"{line}\n".encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the rows to *path*, one line of JSON each, compressed where the name ends in .gz."""
        text = "".join(f"{line}\n" for line in self.lines()).encode()
        # mtime=0: the same trace gives the same file.
        Path(path).write_bytes(gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read what `save` wrote.

        Raises:
            InvalidValueError: a line is no row, with its number; or the file was compressed, and is damaged or cut off.
        """
        data, trace = Path(path).read_bytes(), cls()
        if str(path).endswith(".gz"):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise InvalidValueError(str(path), f"damaged ({error})", "a whole file that Trace.save wrote") from None
        kinds = {"published": (trace.published, Publication), "delivered": (trace.delivered, Delivered)}
        for number, line in enumerate(data.splitlines(), 1):
            try:
                kind, *row = json.loads(line)
                append, row_of = kinds[kind]
                append(row_of(*row))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise InvalidValueError(f"line {number} of {path}", line.decode(errors="replace")[:80], "a row that Trace.save wrote") from None
        return trace
