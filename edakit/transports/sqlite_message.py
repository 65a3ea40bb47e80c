"""One message of a `sqlite://` file, as whoever took it has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from kombu.exceptions import MessageStateError
from kombu.message import Message as KombuMessage

from edakit.transports.broker import Content

if TYPE_CHECKING:
    from edakit.transports.sqlite_consumer import Consumer

__all__ = ["Message"]


class Message(KombuMessage):  # type: ignore[misc]  # kombu is not typed
    """One queue's own copy of a message.

    Attributes:
        row: Its number in the file.
    """

    __slots__ = ("attempt", "body", "channel", "consumer", "content_encoding", "content_type", "delivery_tag", "headers", "properties", "redelivered", "row")
    checked = False
    accept: ClassVar[Any] = None
    _decoded_cache: Any = None
    _state: Any
    errors: ClassVar[Any] = ()

    def __init__(self, content: Content, row: int = 0, attempt: int = 1, redelivered: int = 0, consumer: Consumer | None = None) -> None:
        # Not super().__init__: it would unpack a compressed body without limit.
        self.body, self.headers, self.content_type, self.content_encoding, self.properties = content
        self.row, self.attempt, self.redelivered, self.consumer = row, attempt, bool(redelivered), consumer
        self.channel: Any = None
        self.delivery_tag, self._state = row, "RECEIVED"

    @property
    def content(self) -> Content:
        """What all copies of it share."""
        return (self.body, self.headers, self.content_type, self.content_encoding, self.properties)

    @property
    def owner(self) -> Consumer:
        """Who took it."""
        if self.consumer is None:
            raise MessageStateError("this message was only looked at, not taken")
        return self.consumer

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where it lies: redelivery goes back to this queue and to no other."""
        return {"exchange": "", "routing_key": self.owner.queue.name, "redelivered": self.redelivered}

    def ack(self, multiple: bool = False) -> None:
        """Tell the broker that the work is done.

        Raises:
            MessageStateError: it went back to its queue already, or was acked.
        """
        if self.channel is not None:
            super().ack(multiple=multiple)
        else:
            self.owner.ack(self)

    def retry(self, due_ns: int, *, attempt: bool = True) -> None:
        """Give it back to its queue, to be delivered once more not before *due_ns* [ns]; *attempt* tells whether this one counted."""
        self.owner.give_back(self, max(1, due_ns), self.attempt + attempt)

    def duplicate(self) -> None:
        """Put a second copy with the same id into its queue, as a producer does that was not told of its success."""
        self.owner.store.publish("", [(self.owner.queue.name, self.content)])
