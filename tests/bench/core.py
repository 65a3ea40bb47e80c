"""What `make bench` measures of the core: our side and the other, one after the other."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable
from functools import cache

import kombu
import msgspec

from edakit import App, Component, Event
from edakit.trace import Trace

BATCH = 100
"""Events queued before they are handled."""
RATE = 1_000
"""Real-time publications [1/s]."""


class CartItemAdded(Event):
    """As in the shop."""

    cart_id: str
    product_id: str
    quantity: int


EVENT = CartItemAdded(cart_id="c-1", product_id="1001", quantity=1)
PAYLOAD = {"cart_id": "c-1", "product_id": "1001", "quantity": 1}


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU time of *work*, with no rubbish of others to be collected in it [s]."""
    gc.collect()
    return spent(work)


def spent(work: Callable[[], object]) -> float:
    """Return the CPU time of *work* [s]."""
    before = time.process_time()
    work()
    return time.process_time() - before


def our_app(clock: str) -> App:
    """Return an app with one component that does nothing, warmed up."""
    component = Component("stock")
    component.on(CartItemAdded)(lambda event, context: None)
    app = App(component, clock=clock)
    app.publish(EVENT)
    app.run_until_idle()
    return app


def drive(app: App, events: int) -> None:
    """Publish and handle *events*, a batch at a time."""
    publish, run = app.publish, app.run_until_idle
    for _ in range(events // BATCH):
        for _ in range(BATCH):
            publish(EVENT)
        run()


def stock_path(events: int) -> float:
    """Return stock kombu's CPU for as many events [s]; it decodes JSON into a dict and acks, no more."""
    connection = kombu.Connection("memory://", transport_options={"polling_interval": 0})
    channel = connection.channel()
    exchange = kombu.Exchange("bench", "topic")
    producer = kombu.Producer(channel, exchange, serializer="json")
    bound = kombu.Queue("bench", exchange, "cart.#")

    def work() -> None:
        for _ in range(events // BATCH):
            for _ in range(BATCH):
                producer.publish(PAYLOAD, routing_key="cart.item.added")
            for _ in range(BATCH):
                connection.drain_events(timeout=1)

    with kombu.Consumer(channel, [bound], callbacks=[lambda body, message: message.ack()], accept=["json"]):
        used = cpu(work)
    connection.release()
    return used


def path_against_stock() -> float:
    """Return our CPU an event over stock kombu's."""
    app = our_app("wall")
    return cpu(lambda: drive(app, 20_000)) / stock_path(20_000)


def virtual_against_wall() -> float:
    """Return the CPU an event in virtual time over the wall-clock path's."""
    wall, virtual = our_app("wall"), our_app("virtual")
    return cpu(lambda: drive(virtual, 20_000)) / cpu(lambda: drive(wall, 20_000))


def long_against_short() -> float:
    """Return the CPU an event of a run of 1,000,000 events over that of runs of 10,000, the trace kept.

    The short runs stand between the pieces of the long one: on a shared machine a second is not like the next.
    """

    def short() -> float:
        app = our_app("virtual")
        return cpu(lambda: drive(app, 10_000))

    app, long, shorts = our_app("virtual"), 0.0, 0.0
    for _ in range(20):
        long += spent(lambda: drive(app, 50_000))
        shorts += short() + short()
    return long / 1_000_000 / (shorts / 400_000)


def trace_row_against_path() -> float:
    """Return the CPU of writing one trace row over that of the whole path of one event."""
    app, trace, events = our_app("wall"), Trace(), 20_000
    event_id, now = "ea5af5a700000001", 1_795_531_742_306_829_242

    def rows() -> None:
        published, delivered = trace.published, trace.delivered
        for number in range(events):
            published((event_id, "", event_id, "cart.item.added", "app", now + number, now + number, 1))
            delivered((event_id, "stock", 0, 1, "handled", now + number, now + number, now + number))

    return cpu(rows) / 2 / cpu(lambda: drive(app, events))


def routing_against_stock() -> float:
    """Return our CPU a publish over stock kombu's, with 1,000 queues on 100 keys (ten take each event)."""
    keys = [f"cart.item.k{number}" for number in range(100)]
    events = 200

    stock = kombu.Connection("memory://")
    channel = stock.channel()
    exchange = kombu.Exchange("routing", "topic", channel=channel)
    exchange.declare()
    for number in range(1000):
        kombu.Queue(f"routing-{number}", exchange, keys[number % 100], channel=channel).declare()
    producer = kombu.Producer(channel, exchange, serializer="json")

    def stock_publishes() -> None:
        for number in range(events):
            producer.publish(PAYLOAD, routing_key=keys[number % 100])

    theirs = cpu(stock_publishes)
    for number in range(1000):
        channel.queue_delete(f"routing-{number}")
    stock.release()

    classes = [_event_class(number, key) for number, key in enumerate(keys)]
    app = App(*(_component(f"c{number}", classes[number % 100]) for number in range(1000)))
    ours_events = [cls(**PAYLOAD) for cls in classes]
    for event in ours_events:
        app.publish(event)

    def our_publishes() -> None:
        for number in range(events):
            app.publish(ours_events[number % 100])

    ours = cpu(our_publishes)
    app.close()
    return ours / theirs


def _event_class(number: int, key: str) -> type[Event]:
    body = {"__module__": __name__, "__qualname__": f"K{number}", "__annotations__": dict(CartItemAdded.__annotations__)}
    return type(Event)(f"K{number}", (Event,), body, type=key)


def _component(name: str, event_type: type[Event]) -> Component:
    component = Component(name)
    component.on(event_type)(lambda event, context: None)
    return component


def latency_against_simple_queue(percentile: int) -> float:
    """Return the latency from one thread to a component's thread over that of a SimpleQueue with msgspec, in real time."""
    ours, theirs = _latencies()
    return _percentile(ours, percentile) / _percentile(theirs, percentile)


def _latencies(events: int = 3_000) -> tuple[list[float], list[float]]:
    """Measure both sides in turn, in short slices [s]."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(12):  # within a second the same code may take half as long again
        ours += _our_latencies(events // 12)
        theirs += _their_latencies(events // 12)
    return ours, theirs


def _paced(send: Callable[[float], None], events: int) -> None:
    start = time.perf_counter()
    for number in range(events):
        due = start + number / RATE
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        send(time.perf_counter())


class Stamped(Event):
    """When it was sent [s]."""

    sent: float


def _our_latencies(events: int) -> list[float]:
    latencies: list[float] = []
    component = Component("stock")
    component.on(Stamped)(lambda event, context: latencies.append(time.perf_counter() - event.sent))
    with App(component) as app:
        app.publish(Stamped(sent=0.0))
        app.wait_until_idle()
        latencies.clear()
        _paced(lambda now: app.publish(Stamped(sent=now)), events)
        app.wait_until_idle()
    return latencies


@cache
def _stamped_codec() -> tuple[msgspec.json.Encoder, msgspec.json.Decoder[Stamped]]:
    return msgspec.json.Encoder(), msgspec.json.Decoder(Stamped)


def _their_latencies(events: int) -> list[float]:
    latencies: list[float] = []
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    encoder, decoder = _stamped_codec()

    def serve() -> None:
        while (body := messages.get()) is not None:
            latencies.append(time.perf_counter() - decoder.decode(body).sent)

    thread = threading.Thread(target=serve)
    thread.start()
    _paced(lambda now: messages.put(encoder.encode(Stamped(sent=now))), events)
    messages.put(None)
    thread.join()
    return latencies


def _percentile(values: list[float], percentile: int) -> float:
    return sorted(values)[int(len(values) * percentile / 100)]
