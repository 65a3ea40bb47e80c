"""How far one consumer is with each of its partitions, and what of that its group's offsets say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final

from edakit.transports.kafka_marks import Mark, Place

__all__ = ["COMMIT_EVERY", "Progress"]

COMMIT_EVERY: Final = 0.05
"""How long what is done waits to be committed while more arrives [s]; with nothing to do it is committed at once."""

ANSWERED: Final = 5.0
"""How long the answer to a commit is waited for before it is sent again [s]; a cluster that restarts may forget one."""


class Progress:
    """The marks of one consumer's partitions, and its commits; no clock and no cluster in it. Whoever has it holds a lock.

    librdkafka repeats a commit that was not answered, perhaps after a later one, and the group's offset then goes back. So nobody keeps what was sent:
    each answer says what the offset was set to, and what differs from the last answer is committed again.

    Attributes:
        marks: Of each partition that the consumer has.
    """

    def __init__(self) -> None:
        self.marks: dict[Place, Mark] = {}
        self._sent_at, self._awaited, self._failed = -inf, False, False

    def due(self, now: float, *, idle: bool) -> bool:
        """Whether what is done is to be committed at *now* [s], by a clock that does not go back: one request at a time, until its answer is overdue."""
        since = now - self._sent_at
        return since >= ANSWERED if self._awaited else (idle and not self._failed) or since > COMMIT_EVERY

    def send(self, now: float, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """Return what is to be committed of *places*: the low-water mark of each, and what was seen."""
        news = {place: state for place in places if (mark := self.marks.get(place)) is not None and (state := mark.news) is not None}
        self._sent_at, self._awaited = now, bool(news)
        return news

    def answered(self, offsets: Mapping[Place, tuple[int, int]]) -> None:
        """Take note of what the group's offsets were set to."""
        self._awaited, self._failed = False, False
        for place in offsets.keys() & self.marks.keys():
            self.marks[place].committed = offsets[place]

    def failed(self) -> None:
        """Take note that a commit failed: it may have been done, or one that was sent before it."""
        self._awaited, self._failed = False, True
        for mark in self.marks.values():
            mark.committed = (-1, -1)

    @property
    def behind(self) -> bool:
        """Whether something is done that the group's offsets do not say."""
        return any(mark.low > mark.committed[0] for mark in tuple(self.marks.values()))

    @property
    def fetched(self) -> dict[Place, tuple[int, int]]:
        """Of each partition of which something was heard the offset behind what was fetched, and how much of that is not done [records]."""
        return {place: (mark.next, mark.unacked) for place, mark in self.marks.items() if mark.next >= 0}

    @property
    def caught_up(self) -> bool:
        """Whether there are partitions, and each was read once to its end or to a message."""
        return bool(self.marks) and all(mark.next >= 0 for mark in self.marks.values())
