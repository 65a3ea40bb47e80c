"""One record as a message: what a handler's circumstances are made of, and what acks it."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from kombu.exceptions import MessageStateError
from kombu.message import Message as KombuMessage

from edakit.errors import CapabilityError
from edakit.transports.broker import Content
from edakit.transports.kafka_marks import Mark, Place

__all__ = ["Message"]


class Owner(Protocol):
    """Who took a message."""

    queue: str

    def ack(self, message: Message) -> None:
        """Note that *message* is done."""

    def give_back(self, message: Message, due_ns: int, attempt: int) -> None:
        """Hold *message* until it is due [ns]."""

    @property
    def duplicate(self) -> Any:
        """Puts a copy of a message into the queue."""


class Message(KombuMessage):  # type: ignore[misc]  # kombu is not typed
    """One record, while one consumer has its partition.

    Attributes:
        place: Its topic and partition.
        offset: Where it stands in it.
    """

    __slots__ = (
        *("attempt", "body", "channel", "content_encoding", "content_type", "delivery_tag", "headers", "mark", "offset", "owner", "place"),
        *("properties", "redelivered"),
    )
    checked = False
    accept: ClassVar[Any] = None
    _decoded_cache: Any = None
    _state: Any
    errors: ClassVar[Any] = ()

    def __init__(self, parts: Content, place: Place, offset: int, mark: Mark, owner: Owner | None = None) -> None:
        # Not super().__init__: it would unpack a compressed body without limit.
        self.body, self.headers, self.content_type, self.content_encoding, self.properties = parts
        self.place, self.offset, self.mark, self.owner = place, offset, mark, owner
        self.attempt, self.redelivered = 1, offset < mark.before
        self.channel, self.delivery_tag, self._state = None, offset, "RECEIVED"

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where it lies."""
        return {"exchange": "", "routing_key": self._owner.queue, "redelivered": self.redelivered}

    @property
    def _owner(self) -> Owner:
        if self.owner is None:
            raise MessageStateError("this message was only looked at, not taken")
        return self.owner

    def ack(self, multiple: bool = False) -> None:
        """Tell the broker that the work is done.

        Raises:
            MessageStateError: its partition went to another consumer, or it was acked.
            CapabilityError: what came before it is to be acked with it.
        """
        if multiple:
            raise CapabilityError("kafka://", "ack several messages in one", "those before it may lie in other partitions; ack each")
        self._owner.ack(self)

    def retry(self, due_ns: int, *, attempt: bool = True) -> None:
        """Have it delivered once more, not before *due_ns* [ns]. It is held here until then: what a crash loses is the count of attempts."""
        self._owner.give_back(self, due_ns, self.attempt + attempt)

    def reject(self, requeue: bool = False) -> None:
        """Give it up, or have it delivered again."""
        self.retry(0) if requeue else self.ack()

    def requeue(self) -> None:
        """Have it delivered again."""
        self.retry(0)

    def duplicate(self) -> None:
        """Put a second copy with the same id into its queue, as a producer does that was not told of its success."""
        self._owner.duplicate(self)

    def again(self, attempt: int) -> Message:
        """Return a fresh copy for the next delivery, and make this one useless."""
        copy = Message((self.body, self.headers, self.content_type, self.content_encoding, self.properties), self.place, self.offset, self.mark, self.owner)
        copy.attempt, copy.redelivered = attempt, True
        self._state = "REQUEUED"
        return copy
