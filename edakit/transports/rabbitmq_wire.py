"""py-amqp's connection, made to wait no longer than it is told, to read in large pieces, and to survive headers that cannot be read.

py-amqp reads each frame with three system calls, may wait for ever, opens a channel again that the broker closed (without its confirms),
and drops the connection over a header table that it does not understand: the same message would come again, and drop it again.
"""

from __future__ import annotations

import io
import select
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from struct import unpack_from
from typing import Any, Final

import amqp
from amqp import spec
from amqp.exceptions import ChannelError, UnexpectedFrame, error_for_code
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

__all__ = ["PATIENCE", "Channel", "Connection", "Event", "Transport", "publish", "readable"]

PATIENCE: Final = 6.0
"""How long the broker may take to answer, or to take what is written, before the connection counts as lost [s]."""
_BLOCK: Final = 65_536
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_END: Final = 0xCE
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CONTENT: Final = frozenset([spec.Basic.Return, spec.Basic.Deliver, spec.Basic.GetOk])


def readable(seconds: float, *sockets: Any) -> bool:
    """Wait until one of *sockets* has something to read, up to *seconds*; return whether one has."""
    if sys.platform == "win32":
        return bool(select.select(sockets, [], [], seconds)[0])
    poll = select.poll()  # not select: it knows no descriptor above 1,023
    for each in sockets:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


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
        self._need(7)
        kind, channel, size = unpack_from(">BHI", self._inbox, self._start)
        if size > self.frame_max:
            raise UnexpectedFrame(f"a frame of {size:,} bytes, at most {self.frame_max:,} were agreed")
        self._need(8 + size)
        begin = self._start + 7
        if self._inbox[begin + size] != _END:
            raise UnexpectedFrame(f"a frame that ends with {self._inbox[begin + size]:#04x}, not {_END:#04x}")
        self._start = begin + size + 1
        return kind, channel, bytes(self._inbox[begin : begin + size])

    @property
    def has_frame(self) -> bool:
        """Whether a whole frame has been read and not yet handled: then the socket says nothing of it."""
        size = len(self._inbox) - self._start - 8
        return size >= 0 and size >= unpack_from(">I", self._inbox, self._start + 3)[0]

    def _need(self, size: int) -> None:
        while len(self._inbox) - self._start < size:
            piece = self._receive()
            del self._inbox[: self._start]
            self._inbox += piece
            self._start = 0

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


class Event(amqp.Message):  # type: ignore[misc]  # as above
    """A message of ours: JSON, persistent, with texts as headers; py-amqp takes 40 µs to say so, this a tenth of it."""

    def __init__(self, body: bytes, content_type: str, headers: Mapping[str, Any]) -> None:
        super().__init__(body, content_type=content_type, content_encoding="utf-8", application_headers=headers, delivery_mode=2)

    def _serialize_properties(self) -> bytes:
        properties = self.properties
        table: list[bytes] = []
        for name, value in properties["application_headers"].items():
            if not isinstance(value, str):
                return bytes(super()._serialize_properties())
            text = value.encode()
            table += (_short(name), b"S", len(text).to_bytes(4), text)
        packed = b"".join(table)
        # The flags of content type, content encoding, headers and delivery mode, then these: AMQP 0-9-1, 4.2.6.1.
        return b"\xf0\x00" + _short(properties["content_type"]) + b"\x05utf-8" + len(packed).to_bytes(4) + packed + b"\x02"


@lru_cache(1024)  # names come again with each message
def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:  # noqa: PLR2004 (one byte for the length)
        raise ValueError(f"{text[:20]!r}… has {len(data)} bytes, a name in AMQP has 255 at most")
    return bytes((len(data),)) + data


def publish(channel: Any, exchange: str, key: str, message: Any) -> None:
    """Write the frames of a mandatory basic.publish. Not channel.basic_publish: it looks for news from the broker before each message."""
    channel.connection.frame_writer(1, channel.channel_id, spec.Basic.Publish, b"\0\0" + _short(exchange) + _short(key) + b"\x01", message)


class _Incoming(amqp.Message):  # type: ignore[misc]  # as above
    """A message on its way in; one whose header cannot be read has no properties, and is judged by whoever gets it."""

    def __init__(self, **method: Any) -> None:
        super().__init__(b"", **method)
        self._pieces = io.BytesIO()  # gives its content away without a copy

    def _load_properties(self, class_id: Any, buf: Any, offset: int) -> Any:
        try:
            return super()._load_properties(class_id, buf, offset)
        except Exception:  # noqa: BLE001 (a stranger's bytes can fail in any way)
            self.properties: dict[str, Any] = {}
            return offset

    def inbound_body(self, buf: bytes) -> None:
        self.body_received += len(buf)
        self.ready: bool = self.body_received >= self.body_size
        if self.ready and len(buf) == self.body_received:
            self.body = buf
            return
        self._pieces.write(buf)
        if self.ready:
            self.body = self._pieces.getvalue()


def _frames(connection: Any, callback: Callable[..., Any]) -> Callable[[tuple[int, int, bytes]], bool]:
    """Return the function that puts frames together."""
    partial: dict[int, Any] = {}

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        kind, channel, payload = frame
        connection.bytes_recv += 1
        if kind == _HEARTBEAT:
            return False
        if kind == _METHOD:
            method = unpack_from(">HH", payload)
            if method in _CONTENT:
                partial[channel] = _Incoming(frame_method=method, frame_args=payload)
                return False
            callback(channel, method, payload, None)
            return True
        message = partial.get(channel)
        if message is None or kind not in {_HEADER, _BODY}:
            raise UnexpectedFrame(f"a frame of kind {kind} that belongs to no message")
        (message.inbound_header if kind == _HEADER else message.inbound_body)(payload)
        if message.ready:
            del partial[channel]
            callback(channel, message.frame_method, message.frame_args, message)
        return bool(message.ready)

    return on_frame


class Channel(pyamqp.Channel):  # type: ignore[misc]  # kombu is not typed
    """A channel that stays closed when the broker closes it, and leaves bodies as they are."""

    def __init__(self, connection: Any, channel_id: int | None = None, auto_decode: bool = False, on_open: Any = None) -> None:
        super().__init__(connection, channel_id, auto_decode=False, on_open=on_open)

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> Any:
        """Handle a method; what crosses the close is ignored without the line that py-amqp would print for each."""
        if not self.is_closing or method_sig in self._ALLOWED_METHODS_WHEN_CLOSING:
            return super().dispatch_method(method_sig, payload, content)
        return None

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
        super().__init__(*arguments, **({"frame_handler": _frames} | options))

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
        with suppress(TimeoutError):
            self.blocking_read(0)
            while (transport := self._transport) is not None and transport.has_frame:
                self.blocking_read(0)

    def rest(self, seconds: float, *others: Any) -> None:
        """Wait until something has come in here, or from *others*, up to *seconds*."""
        transport = self.transport
        if not transport.has_frame:
            readable(seconds, transport.sock, *others)

    def abandon(self) -> None:
        """Close the socket without a word."""
        try:
            self.collect()
        except (OSError, AttributeError):  # closed by the other side, or twice
            return


class Transport(pyamqp.Transport):  # type: ignore[misc]  # kombu is not typed
    """The kombu transport."""

    Connection = Connection
