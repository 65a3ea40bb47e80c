"""How far one partition is done: Kafka keeps one number, and handlers finish in any order."""

from __future__ import annotations

from collections import deque

__all__ = ["Mark", "Place"]

Place = tuple[str, int]
"""A topic and one of its partitions."""


class Mark:
    """The contiguous low-water mark of one partition, for as long as it is assigned to this consumer.

    Attributes:
        next: Offset behind the last record that was fetched; -1 while none was.
        committed: What the group's offset was set to, and `seen` with it; -1 while that is not known.
        seen: Offset behind the last record that was handed out, here or by who had the partition before.
        before: What `seen` was when this consumer got the partition: records before it are delivered again.
    """

    __slots__ = ("_done", "_fetched", "before", "committed", "next", "seen")

    def __init__(self, before: int = -1, committed: int = -1) -> None:
        self.next, self.committed = -1, (committed, before)
        self.before = self.seen = before
        self._fetched: deque[int] = deque()
        self._done: set[int] = set()

    def fetch(self, offset: int) -> None:
        """Take note of a record that is to be handled."""
        self._fetched.append(offset)
        self.next = offset + 1

    def skip(self, offset: int) -> None:
        """Take note that nothing before *offset* is left to fetch: it was not for this queue, or is no record."""
        self.next = max(self.next, offset)

    def done(self, offset: int) -> None:
        """Take note that a record was handled."""
        self._done.add(offset)
        while self._fetched and self._fetched[0] in self._done:
            self._done.remove(self._fetched.popleft())

    @property
    def here(self) -> int:
        """The offset that is to be fetched next, as far as it is known; else -1."""
        return self.next if self.next >= 0 else self.committed[0]

    @property
    def low(self) -> int:
        """The offset before which all is done: what may be committed."""
        return self._fetched[0] if self._fetched else self.next

    @property
    def news(self) -> tuple[int, int] | None:
        """What is to be committed: the low-water mark, and what was seen; None if that is committed."""
        state = (self.low, self.seen)
        return state if self.low >= 0 and state != self.committed else None

    @property
    def unacked(self) -> int:
        """How many records were fetched and are not done [records]."""
        return len(self._fetched) - len(self._done)

    @property
    def span(self) -> int:
        """How many records a crash now would bring back, the handled ones among them [records]."""
        return len(self._fetched)
