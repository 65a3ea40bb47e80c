"""py-amqp's connection, made to wait no longer than it is told, to read in large pieces, and to survive headers that cannot be read.

py-amqp reads each frame with three system calls, may wait for ever, opens a channel again that the broker closed (without its confirms),
and drops the connection over a header table that it does not understand: the same message would come again, and drop it again.
"""

from __future__ import annotations

import io
import select
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from struct import unpack_from
from typing import Any, Final

import amqp
from amqp import spec
from amqp.exceptions import ChannelError, UnexpectedFrame, error_for_code
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

__all__ = ["PATIENCE", "Channel", "Connection", "Transport", "readable"]

PATIENCE: Final = 6.0
"""How long the broker may take to answer, or to take what is written, before the connection counts as lost [s]."""
_BLOCK: Final = 65_536
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_END: Final = 0xCE
_CONTENT: Final = frozenset([spec.Basic.Return, spec.Basic.Deliver, spec.Basic.GetOk])


def readable(seconds: float, *sockets: Any) -> bool:
    """Wait until one of *sockets* has something to read, up to *seconds*; return whether one has."""
    if sys.platform == "win32":
        return bool(select.select(sockets, [], [], seconds)[0])
    poll = select.poll()  # not select: it knows no descriptor above 1,023
    for each in sockets:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class _Reader:
    """What both kinds of socket have in common."""

    connected: bool
    sock: Any
    frame_max = 131_072

    def _setup_transport(self) -> None:
        super()._setup_transport()  # type: ignore[misc]  # py-amqp's
        self.sock.settimeout(PATIENCE)
        self.patience = PATIENCE
        self._inbox, self._start = bytearray(), 0

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
        self.sock.settimeout(self.patience)
        try:
            piece: bytes = self.sock.recv(_BLOCK)
        except (BlockingIOError, ssl.SSLWantReadError, TimeoutError):
            raise TimeoutError("the broker did not answer in time") from None
        finally:
            self.sock.settimeout(PATIENCE)
        if not piece:
            self.connected = False
            raise ConnectionResetError("the broker closed the connection")
        return piece

    def _shutdown_transport(self) -> None:
        """Do not wait for the other side to say goodbye: it may be gone."""


class _Plain(_Reader, TCPTransport):  # type: ignore[misc]  # py-amqp is not typed
    pass


class _Secure(_Reader, SSLTransport):  # type: ignore[misc]  # as above
    pass


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
