"""py-amqp's connection, made to wait no longer than it is told, to read in large pieces, and to survive headers that cannot be read.

py-amqp reads each frame with three system calls, may wait for ever, opens a channel again that the broker closed (without its confirms),
and drops the connection over a header table that it does not understand: the same message would come again, and drop it again.
"""

from __future__ import annotations

import select
import ssl
import sys
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final

import amqp
from amqp import spec
from amqp.exceptions import ChannelError, UnexpectedFrame, error_for_code
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

from edakit.codec import CONTENT_TYPE
from edakit.transports.rabbitmq_incoming import KIND, delivered, frames

__all__ = ["PATIENCE", "Channel", "Connection", "Event", "Transport", "publish", "readable"]

PATIENCE: Final = 6.0
"""How long the broker may take to answer, or to take what is written, before the connection counts as lost [s]."""
_BLOCK: Final = 65_536
_END: Final = 0xCE
_CLOSE: Final = bytes((_END,))
_BASIC: Final = b"\0\x3c\0\0"  # class and weight, with which the header of a message begins
_HEAD: Final = Struct(">BHI")  # kind, channel, size
_head, _pack_head = _HEAD.unpack_from, _HEAD.pack
_confirmed: Final = Struct(">QB").unpack_from
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def readable(seconds: float, *sockets: Any) -> list[int]:
    """Wait until one of *sockets* has something to read, up to *seconds*; return the numbers of those that have."""
    if sys.platform == "win32":
        return [each.fileno() for each in select.select(sockets, [], [], seconds)[0]]
    poll = select.poll()  # not select: it knows no descriptor above 1,023
    for each in sockets:
        poll.register(each, select.POLLIN)
    return [number for number, _ in poll.poll(seconds * 1000)]


def _writable(seconds: float, sock: Any) -> bool:
    if sys.platform == "win32":
        return bool(select.select([], [sock], [], seconds)[1])
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


class _Reader:
    """What both kinds of socket have in common."""

    connected: bool
    sock: Any
    frame_max = 131_072

    def _setup_transport(self) -> None:
        super()._setup_transport()  # type: ignore[misc]  # py-amqp's
        self.sock.setblocking(False)
        self._write = self._write_all
        self.patience, self.corked = PATIENCE, False
        self._inbox, self._start, self._outbox = bytearray(), 0, bytearray()

    def read_frame(self) -> tuple[int, int, bytes]:
        """Return the next frame: kind, channel, payload.

        Raises:
            TimeoutError: it is not complete within `patience`; what has come of it is kept.
            OSError: the connection is lost.
        """
        while (frame := self.next_frame()) is None:
            piece = self._receive()
            del self._inbox[: self._start]
            self._inbox += piece
            self._start = 0
        return frame

    def next_frame(self) -> tuple[int, int, bytes] | None:
        """Return the next frame if the whole of it has been read."""
        inbox, begin = self._inbox, self._start + 7
        if len(inbox) <= begin:
            return None
        kind, channel, size = _head(inbox, self._start)
        if size > self.frame_max:
            raise UnexpectedFrame(f"a frame of {size:,} bytes, at most {self.frame_max:,} were agreed")
        end = begin + size
        if len(inbox) <= end:
            return None
        if inbox[end] != _END:
            raise UnexpectedFrame(f"a frame that ends with {inbox[end]:#04x}, not {_END:#04x}")
        self._start = end + 1
        return kind, channel, bytes(inbox[begin:end])

    @property
    def has_frame(self) -> bool:
        """Whether a whole frame has been read and not yet handled: then the socket says nothing of it."""
        size = len(self._inbox) - self._start - 8
        return size >= 0 and size >= _head(self._inbox, self._start)[2]

    def _receive(self) -> bytes:
        while True:
            try:
                piece: bytes = self.sock.recv(_BLOCK)
            except _NOT_NOW:
                if not self.patience or not readable(self.patience, self.sock):
                    raise TimeoutError("the broker did not answer in time") from None
                continue
            if not piece:
                self.connected = False
                raise ConnectionResetError("the broker closed the connection")
            return piece

    def _write_all(self, piece: Any) -> None:
        """Write, or while corked keep what belongs together for one system call."""
        if self.corked or self._outbox:
            self._outbox += piece
            if self.corked and len(self._outbox) < _BLOCK // 2:
                return
            piece, self._outbox = self._outbox, bytearray()
        view = memoryview(piece)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except _NOT_NOW:
                if not _writable(PATIENCE, self.sock):
                    self.connected = False
                    raise TimeoutError("the broker does not read") from None

    def uncork(self) -> None:
        """Send what was kept."""
        self.corked = False
        if self._outbox:
            self._write_all(b"")

    def _shutdown_transport(self) -> None:
        """Do not wait for the other side to say goodbye: it may be gone."""


class _Plain(_Reader, TCPTransport):  # type: ignore[misc]  # py-amqp is not typed
    pass


class _Secure(_Reader, SSLTransport):  # type: ignore[misc]  # as above
    pass


class Event:
    """A message of ours: JSON, persistent, with texts as headers; `amqp.Message` takes ten times as long to say so.

    Attributes:
        packed: Its properties, as they travel.
    """

    __slots__ = ("_headers", "body", "packed")

    def __init__(self, body: bytes, headers: Mapping[str, Any]) -> None:
        self.body, self._headers = body, headers
        table: list[bytes] = []
        try:
            for name, value in headers.items():
                text = value.encode()
                table += (_short(name), b"S", len(text).to_bytes(4), text)
        except AttributeError:  # no text
            self.packed: bytes = amqp.Message(body, **self.properties)._serialize_properties()
        else:
            packed = b"".join(table)
            self.packed = KIND + len(packed).to_bytes(4) + packed + b"\x02"

    @property
    def properties(self) -> dict[str, Any]:
        """Its properties by name, as `amqp.Message` has them."""
        return {"content_type": CONTENT_TYPE, "content_encoding": "utf-8", "application_headers": dict(self._headers), "delivery_mode": 2}

    def _serialize_properties(self) -> bytes:
        return self.packed


@lru_cache(1024)  # names come again with each message
def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:  # noqa: PLR2004 (one byte for the length)
        raise ValueError(f"{text[:20]!r}… has {len(data)} bytes, a name in AMQP has 255 at most")
    return bytes((len(data),)) + data


@lru_cache(1024)
def _publish_to(exchange: str, key: str) -> bytes:
    """Return the payload of a mandatory basic.publish."""
    return b"\0\x3c\0\x28\0\0" + _short(exchange) + _short(key) + b"\x01"


def publish(channel: Any, exchange: str, key: str, message: Any) -> None:
    """Write a mandatory basic.publish, what is small in one piece. Not channel.basic_publish: it looks for news from the broker before each message."""
    connection, number = channel.connection, channel.channel_id
    method, properties, body = _publish_to(exchange, key), message._serialize_properties(), message.body
    most, write = connection.frame_max - 8, connection.transport.write
    pieces = [_pack_head(1, number, len(method)), method, _CLOSE]
    pieces += (_pack_head(2, number, 12 + len(properties)), _BASIC, len(body).to_bytes(8), properties, _CLOSE)
    for begin in range(0, len(body), most):
        piece = body[begin : begin + most]
        write(b"".join((*pieces, _pack_head(3, number, len(piece)), piece, _CLOSE)))  # not all as one: a large body would be copied
        pieces = []
    if pieces:
        write(b"".join(pieces))
    connection.bytes_sent += 1


class Channel(pyamqp.Channel):  # type: ignore[misc]  # kombu is not typed
    """A channel that stays closed when the broker closes it, and leaves bodies as they are."""

    def __init__(self, connection: Any, channel_id: int | None = None, auto_decode: bool = False, on_open: Any = None) -> None:
        super().__init__(connection, channel_id, auto_decode=False, on_open=on_open)

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> Any:
        """Handle a method; what crosses the close is ignored without the line that py-amqp would print for each."""
        if self.is_closing and method_sig not in self._ALLOWED_METHODS_WHEN_CLOSING:
            return None
        if method_sig == spec.Basic.Deliver:
            return self._on_basic_deliver(*delivered(payload), content)
        if method_sig == spec.Basic.Ack and method_sig not in self._pending:  # which is where kombu's own publish waits for it
            return self._on_basic_ack(*_confirmed(payload, 4))
        return super().dispatch_method(method_sig, payload, content)

    def _on_basic_cancel_ok(self, consumer_tag: str) -> None:
        """Keep the callback: what crosses the cancel is still delivered. py-amqp would reject it, before what was delivered earlier goes back."""

    def _on_close(self, reply_code: int, reply_text: str, class_id: int, method_id: int) -> None:
        self.send_method(spec.Channel.CloseOk)
        self.collect()
        error = error_for_code(reply_code, reply_text, (class_id, method_id), ChannelError)
        error.channel = self
        raise error


class Connection(pyamqp.Connection):  # type: ignore[misc]  # kombu is not typed
    """A connection on which nothing waits for ever."""

    Channel = Channel
    polite = PATIENCE
    """How long an answer may take [s]."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **({"frame_handler": frames} | options))

    def _warn_force_connect(self, attr: str) -> None:
        """Refuse what py-amqp does with a connection that was closed: open another, without a word to whoever counts on the old one's channels."""
        raise ConnectionResetError("the connection is closed")

    def Transport(self, host: str, connect_timeout: float, ssl: Any = False, *timeouts: Any, **options: Any) -> Any:  # noqa: N802 (py-amqp's name)
        """Return the socket's wrapper."""
        kind = _Secure if ssl else _Plain
        return kind(host, connect_timeout=connect_timeout, ssl=ssl, **options)

    def _on_tune(self, channel_max: int, frame_max: int, server_heartbeat: int, *arguments: Any) -> None:
        """Agree on frames that `read_frame` takes; py-amqp would let the broker send as large ones as it likes."""
        super()._on_tune(channel_max, min(frame_max or _Reader.frame_max, _Reader.frame_max), server_heartbeat, *arguments)

    def blocking_read(self, timeout: float | None = None) -> bool:
        """Handle one frame, waiting for it up to *timeout* [s], by default `polite`; return whether a whole method was handled."""
        self.transport.patience = self.polite if timeout is None else timeout
        return bool(self.on_inbound_frame(self.transport.read_frame()))

    def drain(self) -> None:
        """Handle what has come in, without waiting."""
        transport = self.transport
        transport.patience = 0
        try:
            frame = transport.read_frame()
        except TimeoutError:
            return
        while frame is not None:
            self.on_inbound_frame(frame)
            frame = transport.next_frame() if self._transport is transport else None  # the broker may have closed it meanwhile

    def rest(self, seconds: float, other: Any) -> bool:
        """Wait until something has come in here, or from *other*, up to *seconds*; return whether *other* was seen to have something."""
        transport = self.transport
        return not transport.has_frame and other.fileno() in readable(seconds, transport.sock, other)

    def abandon(self) -> None:
        """Close the socket without a word."""
        try:
            self.collect()
        except (OSError, AttributeError):  # closed by the other side, or twice
            return


class Transport(pyamqp.Transport):  # type: ignore[misc]  # kombu is not typed
    """The kombu transport."""

    Connection = Connection
