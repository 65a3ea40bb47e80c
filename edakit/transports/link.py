"""One broker as a bus sees it: the few things that every broker must do in its own way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final, Generic, NamedTuple, Protocol, Self, TypeVar

__all__ = ["EXCHANGE", "POLICIES", "Link", "Logged", "Message", "Subscription", "UntilFailure", "open_link"]

_T = TypeVar("_T")

EXCHANGE: Final = "edakit"
"""Name of the topic exchange to which all events go."""

POLICIES: Final = ("raise", "wait", "drop newest", "drop oldest")
"""What a bounded queue may do when it is full."""

_LINKS: Final = {
    "memory": "edakit.transports.local",
    "sqlite": "edakit.transports.sqlite_link",
    "amqp": "edakit.transports.rabbitmq_link",
    "amqps": "edakit.transports.rabbitmq_link",
    **dict.fromkeys(("kafka", "kafkas"), "edakit.transports.kafka"),
}
"""Where the link of each URL scheme is; loaded when it is first used."""


class Message(Protocol):
    """One queue's own copy of a message, while one subscription has it.

    Attributes:
        body, headers, content_type, content_encoding, properties: As they arrived, not yet looked at.
        attempt: 1 for the first try.
        redelivered: Whether it was delivered before.
        acknowledged: Whether it was acked, or given back.
        checked: Whether nothing has to be looked at before it is decoded: this very process encoded it, and it never left.
    """

    body: Any
    headers: Any
    content_type: Any
    content_encoding: Any
    properties: Any
    attempt: int
    redelivered: bool
    checked: bool

    @property
    def acknowledged(self) -> bool: ...  # noqa: D102 (documented with the others)

    def ack(self) -> None:
        """Tell the broker that the work is done.

        Raises:
            MessageStateError: it went back to its queue already.
        """

    def retry(self, due_ns: int, *, attempt: bool = True) -> None:
        """Have it delivered once more to this queue, not before *due_ns* [ns]; *attempt* tells whether this one counted.

        Raises:
            MessageStateError: it went back to its queue already.
        """

    def duplicate(self) -> None:
        """Put a second copy with the same id into its queue, as a producer does that was not told of its success."""


class Logged(NamedTuple):
    """One event of a broker's log.

    Attributes:
        offset: Where it stands; later events have larger ones, and numbers may be left out.
        name: The event's type.
        body, headers, content_type, content_encoding: As they were published, not yet looked at.
    """

    offset: int
    name: str
    body: Any
    headers: Any
    content_type: Any
    content_encoding: Any


class Subscription(Protocol):
    """Messages of one queue, taken one at a time; whoever listens is told when there may be one. Any thread may call it."""

    def get(self) -> Message | None:
        """Return the next message that is due; None if there is none, or prefetch is used up."""

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called, from whichever thread, for each message that arrives, and now for each that is there."""

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]; None if none waits."""

    @property
    def in_flight(self) -> int:
        """How many messages were taken and are not yet acked [messages]."""

    def __len__(self) -> int: ...

    def leave(self) -> None:
        """Begin to end it, without waiting; `close` waits. Several that leave before the first is closed take no longer than one."""

    def close(self) -> None:
        """End it; what was taken and not acked goes back to the queue, and to no other subscriber."""


class Link(ABC):
    """One broker and what this process has declared on it. Any thread may call any method.

    Attributes:
        threaded: Whether several threads work: only then can a publisher wait for room in a full queue.
        pause: How long to wait between two questions whether all work is done [s].
    """

    threaded: bool = False
    pause: float = 0.001

    @abstractmethod
    def connect(self) -> Any:
        """Open one more kombu connection to the broker; the link closes it."""

    @abstractmethod
    def declare(self, queue: str, *, bound: int | None = None, when_full: str = "raise", on_drop: Callable[[Any], None] | None = None) -> None:
        """Make a queue; doing so twice is doing it once, with the newer *bound* and policy. *on_drop* gets what a full queue drops."""

    @abstractmethod
    def bind(self, queue: str, pattern: str) -> None:
        """Let *queue* take the events whose type fits *pattern*."""

    @abstractmethod
    def publish(self, name: str, body: bytes, headers: Mapping[str, Any], must_route: bool = False) -> int | None:
        """Publish an event of type *name*; return how many queues took it when the broker has it, None where that cannot be known.

        Raises:
            QueueFullError: a bounded queue has no room.
            UnroutableEventError: *must_route*, and no queue is bound to its type.
        """

    def publish_many(self, events: Iterable[tuple[str, bytes, Mapping[str, Any]]]) -> Iterator[int | None]:
        """Publish events in order, each (name, body, headers); yield for each how many queues took it, once the broker has it. Raises as `publish`.

        A broker that can confirm many at once does so: what was not yielded may or may not have been published when it raises.
        """
        for name, body, headers in events:
            yield self.publish(name, body, headers)

    def replay(self, offset: int = 0) -> Iterator[Logged]:
        """Yield what was published, oldest first, from *offset* to what is the end now; queues are not touched. Only where `capabilities.replay` says so."""
        raise NotImplementedError

    @abstractmethod
    def put(self, queue: str, message: Any, headers: Mapping[str, Any]) -> None:
        """Put a copy of *message* with other *headers* straight into one queue."""

    @abstractmethod
    def browse(self, queue: str) -> list[Any]:
        """Return what waits in a queue, oldest first; it stays there."""

    @abstractmethod
    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in *source* now to *target*, with changed *headers*; return how many [messages].

        Raises:
            QueueFullError: *target* has no room. Where it had room for some, those are moved and the rest stays; nothing is dropped.
        """

    @abstractmethod
    def backlog(self, queue: str) -> int:
        """Return how many messages wait in a queue, those being handled not counted [messages]."""

    def consumers(self, queue: str) -> int:
        """Return how many consumers a queue has, in whichever process [consumers]. Only where `capabilities.processes` says so."""
        raise NotImplementedError

    @abstractmethod
    def outstanding(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait or are being handled, all counted at one moment where the broker can [messages]."""

    @abstractmethod
    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        """Open a subscription on a connection of its own; it takes at most *prefetch* messages before they are acked."""

    def hurry(self) -> None:  # noqa: B027 (nothing to do where the broker is no server)
        """From now on wait some seconds at most for a broker that does not answer: this link is about to be closed."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection; what was not acked goes back to its queue."""


class UntilFailure(Generic[_T]):
    """*items*, until one of them cannot be made: the block then ends in good order, with what is under way, and raises that error at its end."""

    def __init__(self, items: Iterable[_T]) -> None:
        self._items = items
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[_T]:
        try:
            yield from self._items
        except Exception as error:  # noqa: BLE001 (raised at the end of the block)
            self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._error is not None and kind is None:
            raise self._error


def open_link(address: Any, now_ns: Callable[[], int]) -> Link:
    """Connect to the broker at *address* (see `address.parse_url`); *now_ns* tells the time [ns]."""
    link: Link = import_module(_LINKS[address.scheme]).open_link(address, now_ns)
    return link
