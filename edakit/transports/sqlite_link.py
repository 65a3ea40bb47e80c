"""`sqlite:///file.db` as a bus sees it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import kombu

from edakit.codec import CONTENT_TYPE
from edakit.errors import BrokerError
from edakit.transports.broker import Content
from edakit.transports.link import EXCHANGE, Link, Logged, Subscription
from edakit.transports.sqlite import Transport
from edakit.transports.sqlite_consumer import LEASE, Consumer
from edakit.transports.sqlite_file import File
from edakit.transports.sqlite_keeper import Keeper
from edakit.transports.sqlite_message import Message
from edakit.transports.sqlite_store import Store

__all__ = ["SqliteLink", "SqliteSubscription", "open_link"]

_BLOCK: Final = 1000
"""How many events `publish_many` writes in one transaction [events]."""
_PAUSE: Final = 0.002
"""Between two questions whether all work is done, at least [s]."""


class SqliteLink(Link):
    """Connections to one file.

    Args:
        path: The file.
        namespace: What keeps its names apart from those of others in the file.
        now_ns: The clock by which messages become due [ns].
        lease: How long the messages of a process that was killed stay hidden [s].
        sync: "normal" survives kill -9, "full" a power cut too.
    """

    pause = _PAUSE

    def __init__(self, path: str, namespace: str = "", now_ns: Callable[[], int] = time.time_ns, *, lease: float = LEASE, sync: str = "normal") -> None:
        self.path, self.lease, self.sync = path, lease, sync
        self.file = File.open(path, sync)
        self.store = Store(self.file, namespace, now_ns)
        try:
            self.store.declare_exchange(EXCHANGE, "topic")
        except BaseException:
            self.file.release()  # nobody else will: there is no link
            raise
        self._open: dict[Any, None] = {}

    @property
    def threaded(self) -> bool:
        """Whether several threads work."""
        return self.store.threaded

    @threaded.setter
    def threaded(self, value: bool) -> None:
        self.store.threaded = value

    def connect(self) -> Any:
        """Open one more kombu connection to the same file."""
        options = {"path": self.path, "namespace": self.store.namespace, "now_ns": self.store.now_ns, "lease": self.lease, "sync": self.sync}
        connection = kombu.Connection(transport=Transport, transport_options=options)
        self._open[connection] = None
        return connection

    def declare(self, queue: str, *, bound: int | None = None, when_full: str = "raise", on_drop: Callable[[Any], None] | None = None) -> None:
        """Make a queue."""
        if on_drop is not None:
            self.store.on_drop[queue] = lambda content: on_drop(Message(content))
        self.store.declare_queue(queue, bound, when_full)

    def bind(self, queue: str, pattern: str) -> None:
        """Let a queue take what fits *pattern*."""
        self.store.bind(queue, EXCHANGE, pattern)

    def publish(self, name: str, body: bytes, headers: Mapping[str, Any], must_route: bool = False) -> int | None:
        """Publish; return how many queues took it, after the commit."""
        return self.store.publish(EXCHANGE, [(name, _content(body, headers))], must_route=must_route)[0]

    def publish_many(self, events: Iterable[tuple[str, bytes, Mapping[str, Any]]]) -> Iterator[int | None]:
        """Publish events, a thousand in one transaction: all of these or none."""
        contents = ((name, _content(body, headers)) for name, body, headers in events)
        while block := list(itertools.islice(contents, _BLOCK)):
            yield from self.store.publish(EXCHANGE, block)

    def replay(self, offset: int = 0) -> Iterator[Logged]:
        """Yield what was published, oldest first, from *offset* to what is the end now."""
        for number, name, content in self.store.replay(EXCHANGE, offset):
            yield Logged(number, name, *content[:4])

    def put(self, queue: str, message: Any, headers: Mapping[str, Any]) -> None:
        """Put a copy straight into one queue."""
        self.store.publish("", [(queue, (message.body, dict(headers), message.content_type, message.content_encoding, message.properties))])

    def browse(self, queue: str) -> list[Any]:
        """Return what waits."""
        return [Message(content) for content in self.store.browse(queue)]

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in *source* now, as far as there is room, in one transaction."""
        return self.store.move(source, target, headers)

    def backlog(self, queue: str) -> int:
        """Count what waits."""
        self._flush()
        return self.store.count(queue)

    def consumers(self, queue: str) -> int:
        """Count who takes messages; one that was killed counts until its lease ends and its messages are back."""
        count = self.store.consumers(queue)
        Keeper.of(self.file).go_round()
        return count

    def outstanding(self, queues: Iterable[str]) -> dict[str, int]:
        """Count what waits or is being handled, at one moment; what this process has acked is none of it."""
        begun = time.monotonic()
        self._flush()
        counts = self.store.counts(queues)
        # To count a long queue takes its time; whoever asks again and again shall leave the file to the workers nine tenths of it.
        self.pause = min(max(_PAUSE, 9 * (time.monotonic() - begun)), 0.1)
        return counts

    def _flush(self) -> None:
        for consumer in tuple(self.file.consumers):
            consumer.flush()

    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        """Open a subscription."""
        subscription = SqliteSubscription(Consumer(self.store, queue, prefetch, self.lease), self._open)
        self._open[subscription] = None
        return subscription

    def close(self) -> None:
        """Close every connection."""
        for each in list(self._open):
            each.release() if hasattr(each, "release") else each.close()
        self._open.clear()
        self.file.release()


class SqliteSubscription:
    """Messages of one queue, taken in blocks and acked in blocks."""

    def __init__(self, consumer: Consumer, opened: dict[Any, None]) -> None:
        self._consumer, self._opened = consumer, opened
        self._listener: Callable[[], None] | None = None

    def get(self) -> Any | None:
        """Return the next message that is due, or None; also while the file is locked or the disk full: then it wakes again in a moment."""
        try:
            return self._consumer.get()
        except BrokerError:
            self._consumer.file.troubled_at = time.monotonic()
            return None

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called when messages arrive, and now for each that is there."""
        self._listener = wake
        self._consumer.file.listen(self._consumer.queue.id, wake)
        for _ in range(len(self)):
            wake()

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]."""
        return self._consumer.next_due_ns()

    @property
    def in_flight(self) -> int:
        """How many messages were handed out and are not yet acked [messages]."""
        return len(self._consumer.taken)

    def __len__(self) -> int:
        return len(self._consumer)

    def leave(self) -> None:
        """Do nothing: a close waits for nobody but the file."""

    def close(self) -> None:
        """End it; what was taken and not acked goes back."""
        if self._listener is not None:
            self._consumer.file.unlisten(self._consumer.queue.id, self._listener)
        self._consumer.close()
        self._opened.pop(self, None)


def _content(body: bytes, headers: Mapping[str, Any]) -> Content:
    return (body, dict(headers), CONTENT_TYPE, "utf-8", {})


def open_link(address: Any, now_ns: Callable[[], int]) -> SqliteLink:
    """Open the file that *address* names; see `address.parse_url`."""
    options = address.options
    return SqliteLink(address.name, address.namespace, now_ns, lease=float(options.get("lease", LEASE)), sync=options.get("sync", "normal"))
