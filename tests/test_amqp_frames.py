"""What comes from RabbitMQ, frame by frame: read as py-amqp reads it, however it is cut into pieces and whatever is wrong with it."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from types import SimpleNamespace

import amqp
import pytest
from amqp.exceptions import UnexpectedFrame
from amqp.method_framing import frame_writer
from amqp.serialization import decode_properties_basic, dumps, loads
from hypothesis import example, given
from hypothesis import strategies as st

from edakit.transports import rabbitmq_incoming
from edakit.transports.rabbitmq_incoming import Incoming, delivered, frames
from edakit.transports.rabbitmq_wire import Channel, Event, _Plain, publish

NAMES = st.text(max_size=8)
VALUES = st.text(max_size=12) | st.integers(-(2**40), 2**40) | st.booleans() | st.none() | st.binary(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
OURS = st.dictionaries(NAMES, st.text(max_size=300), max_size=8)
CUTS = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=2)


def read(properties):
    """Return what we make of properties on the wire."""
    message = Incoming((60, 60), b"")
    message.inbound_header(pack(">HHQ", 60, 0, 1) + properties)
    return message.properties


def read_by_py_amqp(properties):
    """Return what py-amqp makes of them; nothing where it fails."""
    with suppress(Exception):  # garbled bytes can make it fail in any way; what is asked is that ours has nothing then
        return decode_properties_basic(properties, 0)[0]
    return {}


@given(OURS, CUTS)
@example({"a": "Grüße"}, [])
@example({"a": "b"}, [(29, b"\xff")])
def test_our_own_properties_are_read_as_py_amqp_reads_them_also_when_they_were_garbled(headers, cuts):
    wire = Event(b"{}", headers)._serialize_properties()
    for place, piece in cuts:
        wire = wire[:place] + piece + wire[place + len(piece) + (place % 2) :]

    assert read(wire) == read_by_py_amqp(wire)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.booleans())
def test_the_properties_of_others_are_read_as_py_amqp_reads_them(headers, with_id):
    others = {"content_type": "a", "content_encoding": "b", "application_headers": headers, "delivery_mode": 1} | ({"message_id": "m"} if with_id else {})
    wire = amqp.Message(b"", **others)._serialize_properties()
    ours = Event(b"", headers)._serialize_properties()

    assert read(ours) == decode_properties_basic(ours, 0)[0]
    assert read(wire) == decode_properties_basic(wire, 0)[0]


def test_py_amqp_is_not_asked_about_what_we_wrote(monkeypatch):
    monkeypatch.setattr(amqp.Message, "_load_properties", None)

    assert read(Event(b"{}", {"b": "c"})._serialize_properties())["application_headers"] == {"b": "c"}


@given(NAMES, st.integers(0, 2**64 - 1), st.booleans(), NAMES, st.text(max_size=60))
def test_a_delivery_is_read_as_py_amqp_reads_it(consumer, tag, again, exchange, key):
    payload = pack(">HH", 60, 60) + dumps("sLbss", (consumer, tag, again, exchange, key))

    assert list(delivered(payload)) == loads("sLbss", payload, 4)[0] == [consumer, tag, again, exchange, key]


def test_a_delivery_that_cannot_be_read_is_told():
    with pytest.raises(UnexpectedFrame, match="a delivery that cannot be read"):
        delivered(pack(">HH", 60, 60) + b"\1c")


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 10_000])
def test_a_publish_is_written_as_py_amqp_writes_it(size):
    written = []
    connection = SimpleNamespace(frame_max=4096, transport=SimpleNamespace(write=lambda piece: written.append(bytes(piece))), bytes_sent=0)
    message = Event(bytes(number % 251 for number in range(size)), {"cloudEvents_id": "1", "cloudEvents_subject": "Grüße"})
    publish(SimpleNamespace(connection=connection, channel_id=3), "edakit", "order.placed", message)
    ours = b"".join(written)
    written.clear()
    frame_writer(connection, connection.transport)(1, 3, (60, 40), dumps("Bssbb", (0, "edakit", "order.placed", True, False)), message)

    assert ours == b"".join(written)
    assert connection.bytes_sent == 2


def test_a_header_that_cannot_be_read_costs_its_message_and_not_the_connection():
    message = Incoming((60, 60), b"")
    table = b"\x01xZ"  # a kind of value that nobody knows
    message.inbound_header(b"\0\x3c\0\0" + (1).to_bytes(8) + b"\x20\0" + len(table).to_bytes(4) + table)
    message.inbound_body(b"x")

    assert (message.ready, message.body, message.properties) == (True, b"x", {})


def frame(kind, payload):
    return pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


class Pieces(_Plain):
    """A socket that gives what it is given."""

    def __init__(self, pieces):
        self.pieces = list(pieces)
        self._inbox, self._start, self.connected = bytearray(), 0, True

    def _receive(self):
        return self.pieces.pop(0)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=6))
def test_messages_arrive_whole_however_the_bytes_are_cut(bodies, cuts):
    wire = bytearray()
    for number, body in enumerate(bodies):
        wire += frame(1, pack(">HH", 60, 60) + dumps("sLbss", ("c", number, False, "", "q")))
        wire += frame(8, b"")
        wire += frame(2, pack(">HHQ", 60, 0, len(body)) + Event(b"", {"n": str(number)})._serialize_properties())
        wire += b"".join(frame(3, bytes((byte,))) for byte in body)
    places = sorted({place for place in cuts if 0 < place < len(wire)})
    socket = Pieces(bytes(wire[begin:end]) for begin, end in zip([0, *places], [*places, len(wire)], strict=True))
    channel, got = Channel.__new__(Channel), []
    channel.is_closing, channel.callbacks = False, {"c": got.append}
    on_frame = frames(SimpleNamespace(bytes_recv=0), lambda number, method, payload, content: channel.dispatch_method(method, payload, content))

    while len(got) < len(bodies):
        on_frame(socket.read_frame())

    assert [message.body for message in got] == bodies
    assert [message.properties["application_headers"]["n"] for message in got] == [str(number) for number in range(len(bodies))]
    assert [message.delivery_info["delivery_tag"] for message in got] == list(range(len(bodies)))
    assert not socket.has_frame
    assert socket.next_frame() is None


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"\1\0\1\0\2\0\1", "a frame of 131,073 bytes, at most 131,072 were agreed"),
        (b"\1\0\1\0\0\0\1x\0", "a frame that ends with 0x00, not 0xce"),
    ],
)
def test_what_is_no_frame_is_told(wire, says):
    with pytest.raises(UnexpectedFrame, match=says):
        Pieces([wire + b"y"]).read_frame()


def test_the_body_of_no_message_is_told():
    on_frame = rabbitmq_incoming.frames(SimpleNamespace(bytes_recv=0), lambda *arguments: None)

    with pytest.raises(UnexpectedFrame, match="a frame of kind 3 that belongs to no message"):
        on_frame((3, 1, b"x"))
