"""Messages on their way in from RabbitMQ, frame by frame. What py-amqp reads with 40 calls is read here with a few, if it is of the kind that edakit writes."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from struct import Struct, pack, unpack_from
from struct import error as StructError  # noqa: N812 (it is a class)
from typing import Any, Final

import amqp
from amqp import spec
from amqp.exceptions import UnexpectedFrame

from edakit.codec import CONTENT_TYPE

__all__ = ["KIND", "Incoming", "delivered", "frames"]

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_CONTENT: Final = {pack(">HH", *method): method for method in (spec.Basic.Return, spec.Basic.Deliver, spec.Basic.GetOk)}
KIND: Final = b"\xf0\0" + bytes((len(CONTENT_TYPE),)) + CONTENT_TYPE.encode() + b"\x05utf-8"
"""How the properties of our messages begin: flags for content type, content encoding, headers and delivery mode, and the first two. AMQP 0-9-1, 4.2.6.1."""
_typed: Final = Struct(">BL").unpack_from
_TEXT: Final = ord("S")


class Incoming(amqp.Message):  # type: ignore[misc]  # py-amqp is not typed
    """A message on its way in; one whose header cannot be read has no properties, and is judged by whoever gets it.

    Args:
        frame_method, frame_args: What brings it, and the payload of that frame.
    """

    _pieces: io.BytesIO | None = None

    def __init__(self, frame_method: tuple[int, int], frame_args: bytes) -> None:  # not py-amqp's, which goes through three classes
        self.frame_method, self.frame_args = frame_method, frame_args
        self.properties: dict[str, Any] = {}
        self.body, self.body_size, self.body_received, self.ready = b"", 0, 0, False
        self.channel = self.delivery_info = None

    def inbound_header(self, buf: bytes) -> None:
        """Take the size of the body, and the properties."""
        self.body_size = int.from_bytes(buf[4:12])
        self.ready = not self.body_size
        if (ours := _ours(buf)) is not None:
            self.properties = ours
        else:
            with suppress(Exception):  # a stranger's bytes can fail in any way
                self._load_properties(int.from_bytes(buf[:2]), buf, 12)

    def inbound_body(self, buf: bytes) -> None:
        """Take a piece of the body."""
        self.body_received += len(buf)
        self.ready = self.body_received >= self.body_size
        if self.ready and len(buf) == self.body_received:
            self.body = buf
            return
        if self._pieces is None:
            self._pieces = io.BytesIO()  # gives its content away without a copy
        self._pieces.write(buf)
        if self.ready:
            self.body = self._pieces.getvalue()


def _ours(data: bytes) -> dict[str, Any] | None:
    """Read the properties of a header if they are of the kind that edakit writes, with texts as headers, and nothing is wrong with them; else return None."""
    at = 16 + len(KIND)
    if data[12 : at - 4] != KIND:
        return None
    last = len(data) - 1
    headers: dict[str, str] = {}
    try:
        if int.from_bytes(data[at - 4 : at]) != last - at:
            return None
        while at < last:
            end = at + 1 + data[at]
            kind, size = _typed(data, end)
            if kind != _TEXT:
                return None
            begin = end + 5
            name, at = data[at + 1 : end].decode(), begin + size
            headers[name] = data[begin:at].decode()
    except (IndexError, StructError, UnicodeDecodeError):
        return None
    if at != last:
        return None
    return {"content_type": CONTENT_TYPE, "content_encoding": "utf-8", "application_headers": headers, "delivery_mode": data[at]}


def _short(data: bytes, at: int) -> tuple[str, int]:
    """Return the short string at *at*, and where it ends."""
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(), end


def delivered(payload: bytes) -> tuple[str, int, bool, str, str]:
    """Read what a basic.deliver says: consumer tag, delivery tag, whether it was delivered before, exchange, routing key.

    Raises:
        UnexpectedFrame: it cannot be read.
    """
    try:
        consumer, at = _short(payload, 4)
        exchange, end = _short(payload, at + 9)
        key, _ = _short(payload, end)
        return consumer, int.from_bytes(payload[at : at + 8]), bool(payload[at + 8] & 1), exchange, key
    except (IndexError, UnicodeDecodeError) as error:
        raise UnexpectedFrame(f"a delivery that cannot be read: {payload[:60]!r}") from error


def frames(connection: Any, callback: Callable[..., Any]) -> Callable[[tuple[int, int, bytes]], bool]:
    """Return the function that puts frames together."""
    partial: dict[int, Any] = {}

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        kind, channel, payload = frame
        connection.bytes_recv += 1
        if kind == _HEARTBEAT:
            return False
        if kind == _METHOD:
            if (method := _CONTENT.get(payload[:4])) is not None:
                partial[channel] = Incoming(method, payload)
                return False
            callback(channel, unpack_from(">HH", payload), payload, None)
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
