"""The kombu transport behind memory://, through kombu's own API."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing, suppress

import kombu
import pytest
from amqp.exceptions import ChannelError

import edakit.server
from edakit import App
from edakit.codec import check
from edakit.errors import QueueFullError, UnroutableEventError
from edakit.transports.broker import Broker, Message
from edakit.transports.local import MemoryLink
from edakit.transports.memory import Transport
from edakit.transports.routing import matches
from tests.shop_language import CartItemAdded, recorder


@pytest.fixture
def broker():
    return Broker()


def connect(broker):
    return kombu.Connection(transport=Transport, transport_options={"broker": broker})


def declared(connection, *names, pattern="cart.#", kind="topic"):
    exchange = kombu.Exchange("shop", kind)
    channel = connection.channel()
    for name in names:
        kombu.Queue(name, exchange, pattern)(channel).declare()
    return channel, kombu.Producer(channel, exchange)


def test_kombus_own_producer_and_consumer_work_on_it(broker):
    seen = []
    with connect(broker) as connection:
        _, producer = declared(connection, "mail")
        producer.publish({"quantity": 2}, routing_key="cart.item.added")
        with kombu.Consumer(connection, kombu.Queue("mail"), callbacks=[lambda body, message: (seen.append(body), message.ack())], accept=["json"]):
            connection.drain_events(timeout=60)

    assert seen == [{"quantity": 2}]
    assert len(broker.queue("mail")) == 0


def test_what_a_closed_channel_had_not_acked_comes_back_in_order_and_to_that_queue_only(broker):
    with connect(broker) as connection:
        _, producer = declared(connection, "mail", "stock")
        for number in range(4):
            producer.publish(number, routing_key="cart.added")
        dying = connection.channel()
        taken = [dying.basic_get("mail") for _ in range(3)]
        taken[0].ack()
        dying.close()

        channel = connection.channel()
        again = [channel.basic_get("mail") for _ in range(3)]
        assert [message.payload for message in again] == [1, 2, 3]
        assert [message.delivery_info["redelivered"] for message in again] == [True, True, False]
        assert len(broker.queue("stock")) == 4


def test_requeue_gives_the_message_back_to_its_own_queue(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail", "stock")
        producer.publish("x", routing_key="cart.added")
        channel.basic_get("mail").requeue()

        assert len(broker.queue("mail")) == 1
        assert len(broker.queue("stock")) == 1


def test_one_subscribers_ack_leaves_the_others_message_recoverable(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail", "stock")
        producer.publish("x", routing_key="cart.added")
        mail, stock = channel.basic_get("mail"), connection.channel()
        stock.basic_get("stock")
        mail.ack()
        stock.close()

        assert channel.basic_get("stock").delivery_info["redelivered"]
        assert channel.basic_get("mail") is None


def test_two_brokers_know_nothing_of_each_other(broker):
    other = Broker()
    with connect(broker) as connection:
        declared(connection, "mail")

    assert not other.queues


def test_ack_multiple_settles_all_before(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail")
        for number in range(3):
            producer.publish(number, routing_key="cart.added")
        messages = [channel.basic_get("mail") for _ in range(3)]
        messages[1].ack(multiple=True)

        assert list(channel.unacked) == [messages[2].delivery_tag]


def test_a_message_is_acked_once(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail")
        producer.publish("x", routing_key="cart.added")
        message = channel.basic_get("mail")
        message.ack()

        with pytest.raises(message.MessageStateError):
            message.ack()


def test_ctrl_c_leaves_no_message_half_acked(broker):
    broker.declare_queue("mail")
    broker.publish("", "mail", (b"x", {}, None, None, {}))
    with connect(broker) as connection:
        channel = connection.channel()
        message = channel.basic_get("mail")

        def press(frame, event, _):
            if event == "c_return" and frame.f_code is Message.ack.__code__:  # Python looks for Ctrl-C when a call has returned
                raise KeyboardInterrupt

        sys.setprofile(press)
        try:
            with suppress(KeyboardInterrupt):
                message.ack()
        finally:
            sys.setprofile(None)

        assert broker.queue("mail").in_flight == len(channel.unacked) == (not message.acknowledged)


def test_an_ack_after_the_channel_closed_says_so_and_settles_nothing(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail")
        producer.publish("x", routing_key="cart.added")
        message = channel.basic_get("mail")
        channel.close()

        again = connection.channel().basic_get("mail")
        with pytest.raises(message.MessageStateError):
            message.ack()
        assert again.queue.in_flight == 1


def test_mandatory_raises_when_nobody_is_bound(broker):
    with connect(broker) as connection:
        _, producer = declared(connection, "mail")

        with pytest.raises(UnroutableEventError, match=r"no queue is bound to 'order.placed' \(bound: 'cart.#'\)"):
            producer.publish("x", routing_key="order.placed", mandatory=True)


def test_mandatory_does_not_raise_where_a_queue_is_bound_and_drops_the_message(broker):
    with connect(broker) as connection:
        _, producer = declared(connection, "mail")
        broker.declare_queue("mail", bound=1, when_full="drop newest")
        for number in range(2):
            producer.publish(number, routing_key="cart.added", mandatory=True)

    assert len(broker.queue("mail")) == 1


def test_an_exchange_or_queue_that_is_not_there_is_an_error(broker):
    with connect(broker) as connection:
        channel = connection.channel()

        with pytest.raises(ChannelError, match="no exchange 'nowhere'"):
            kombu.Producer(channel).publish("x", exchange="nowhere", routing_key="a")
        with pytest.raises(ChannelError, match="no queue 'nothing'"):
            channel.basic_get("nothing")


def test_a_queue_with_arguments_that_nobody_would_heed_is_refused(broker):
    with connect(broker) as connection, pytest.raises(ChannelError, match="no queue here knows x-message-ttl"):
        connection.channel().queue_declare("brief", arguments={"x-message-ttl": 1000})


def test_a_publisher_wakes_a_waiting_consumer(broker):
    seen, published = [], []
    with connect(broker) as connection, connect(broker) as other:
        _, producer = declared(connection, "mail")
        with kombu.Consumer(other, kombu.Queue("mail"), callbacks=[lambda body, message: seen.append(time.perf_counter())], accept=["json"]):
            for _ in range(5):
                waiting = threading.Thread(target=lambda: other.drain_events(timeout=20))
                waiting.start()
                published.append(time.perf_counter())
                producer.publish([1], routing_key="cart.added")
                waiting.join()

    waits = sorted(after - before for before, after in zip(published, seen, strict=True))
    assert waits[2] < 0.5, "kombu's own sleeps for a second here"


def test_drain_events_times_out(broker):
    with connect(broker) as connection, pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.01)


def test_prefetch_limits_what_is_handed_out(broker):
    seen = []
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail")
        for number in range(3):
            producer.publish(number, routing_key="cart.added")
        with kombu.Consumer(channel, kombu.Queue("mail"), callbacks=[lambda body, message: seen.append(message)], accept=["json"], prefetch_count=2):
            connection.drain_events(timeout=60)
            connection.drain_events(timeout=60)
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.01)
            seen[0].ack()
            connection.drain_events(timeout=60)

    assert len(seen) == 3


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("shop.#", "shop", True), ("shop.#", "shop.cart.added", True), ("#", "", True), ("#", "a.b", True), ("*", "a", True), ("*", "a.b", False),
        ("a.*.c", "a.b.c", True), ("a.*.c", "a.c", False), ("a.#.c", "a.c", True), ("a.#.c", "a.x.y.c", True), ("#.c", "a.b", False), ("a.b", "a.b", True),
    ],
)  # fmt: skip
def test_topic_patterns(pattern, key, expected):
    assert matches(pattern.split("."), key.split(".") if key else []) is expected


def test_a_full_queue_raises_and_no_queue_takes_the_message(broker):
    full, other = broker.declare_queue("full", bound=1), broker.declare_queue("other")
    broker.declare_exchange("shop", "topic")
    broker.bind("full", "shop", "#")
    broker.bind("other", "shop", "#")
    content = (b"x", {}, None, None, {})
    broker.publish("shop", "a", content)

    with pytest.raises(QueueFullError, match="queue 'full' holds 1 events, its bound"):
        broker.publish("shop", "a", content)
    assert (len(full), len(other)) == (1, 1)


@pytest.mark.parametrize(("when_full", "kept"), [("drop newest", [b"1", b"2"]), ("drop oldest", [b"2", b"3"])])
def test_a_full_queue_that_may_drop_says_what_it_dropped(broker, when_full, kept):
    queue, dropped = broker.declare_queue("q", bound=2, when_full=when_full), []
    queue.on_drop = lambda message: dropped.append(message.body)
    for body in (b"1", b"2", b"3"):
        broker.publish("", "q", (body, {}, None, None, {}))

    assert [message.body for message in queue.ready] == kept
    assert sorted(dropped + kept) == [b"1", b"2", b"3"]


def test_a_full_queue_that_waits_lets_the_publishing_thread_go_on_when_there_is_room(broker):
    broker.threaded = 1
    queue = broker.declare_queue("q", bound=1, when_full="wait")
    content = (b"x", {}, None, None, {})
    broker.publish("", "q", content)
    publisher = threading.Thread(target=lambda: broker.publish("", "q", content))
    publisher.start()
    while not broker.has_room._waiters:
        time.sleep(0.001)
    MemoryLink(broker).subscribe("q", 1).get()
    publisher.join(60)

    assert not publisher.is_alive()
    assert len(queue) == 1


def test_what_this_process_encoded_is_not_checked_again_and_its_size_is(monkeypatch):
    looked_at = []
    monkeypatch.setattr(edakit.server, "check", lambda *parts: looked_at.append(parts[0]) or check(*parts))
    (mail, _), (stock, _) = recorder("mail"), recorder("stock")
    with closing(App(mail, broker="memory://sizes")) as large, closing(App(stock, broker="memory://sizes", max_body=40)) as small:
        small.run_until_idle()
        large.run_until_idle()
        large.publish(CartItemAdded(cart_id="x" * 100))
        large.run_until_idle()
        small.run_until_idle(on_error="retry")

        assert len(looked_at) == 1, "by the one for which it may be too large"
        assert large.dead_letters() == []
        assert [(dead.component, dead.reason, "at most 40" in dead.error) for dead in small.dead_letters()] == [("stock", "malformed", True)]


class _Interrupted:
    """A lock in whose `acquire` a person presses Ctrl-C, before it is taken or after."""

    def __init__(self, lock, taken):
        self.lock, self.taken, self.release = lock, taken, lock.release

    def acquire(self):
        if self.taken:
            self.lock.acquire()
        raise KeyboardInterrupt


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("work", ["publish", "take"])
def test_ctrl_c_leaves_no_lock_behind_that_others_wait_for(broker, work, taken):
    queue, subscription = broker.declare_queue("q"), MemoryLink(broker).subscribe("q", 1)
    broker.publish("", "q", (b"x", {}, None, None, {}))
    lock, broker.lock = broker.lock, _Interrupted(broker.lock, taken)

    with pytest.raises(KeyboardInterrupt):
        broker.publish("", "q", (b"y", {}, None, None, {})) if work == "publish" else subscription.get()
    broker.lock = lock
    free = []
    other = threading.Thread(target=lambda: free.append(lock.acquire(timeout=10)))
    other.start()
    other.join()

    assert free == [True]
    assert len(queue) == 1


def test_a_full_queue_does_not_wait_within_one_thread(broker):
    broker.declare_queue("q", bound=1, when_full="wait")
    broker.publish("", "q", (b"x", {}, None, None, {}))

    with pytest.raises(QueueFullError):
        broker.publish("", "q", (b"x", {}, None, None, {}))


def test_what_finds_a_full_queue_is_not_moved_and_stays_where_it_is(broker):
    link = MemoryLink(broker)
    link.declare("mail", bound=1)
    link.declare("mail.dead")
    for body in (b"1", b"2"):
        broker.publish("", "mail.dead", (body, {}, None, None, {}))

    assert link.move("mail.dead", "mail", dict) == 1
    with pytest.raises(QueueFullError):
        link.move("mail.dead", "mail", dict)

    assert [message.body for message in link.browse("mail.dead")] == [b"2"]


def test_a_subscription_that_was_closed_takes_nothing(broker):
    link = MemoryLink(broker)
    link.declare("mail")
    subscription = link.subscribe("mail", 1)
    subscription.close()
    broker.publish("", "mail", (b"1", {}, None, None, {}))

    assert subscription.get() is None
    assert link.outstanding(["mail"]) == {"mail": 1}


def test_a_look_and_a_closed_subscription_leave_no_connection(broker):
    link = MemoryLink(broker)
    link.declare("mail")
    before = len(link._connections)

    link.browse("mail")
    link.subscribe("mail", 1).close()

    assert len(link._connections) == before


def test_two_that_move_at_the_same_time_share_what_is_there(broker):
    link = MemoryLink(broker)
    link.declare("mail")
    link.declare("mail.dead")
    for body in (b"1", b"2"):
        broker.publish("", "mail.dead", (body, {}, None, None, {}))

    def headers(known):
        broker.queue("mail.dead").ready.clear()  # what another thread does meanwhile
        return known

    assert link.move("mail.dead", "mail", headers) == 1
    assert link.backlog("mail") == 1


def test_routes_follow_bind_unbind_and_delete(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail", "stock", pattern="a")
        producer.publish("x", routing_key="a")
        channel.queue_unbind("mail", "shop", "a")
        producer.publish("x", routing_key="a")
        channel.queue_delete("stock")
        producer.publish("x", routing_key="a")

        assert len(broker.queue("mail")) == 1
        assert "stock" not in broker.queues


def test_fanout_reaches_every_queue(broker):
    with connect(broker) as connection:
        _, producer = declared(connection, "mail", "stock", pattern="", kind="fanout")
        producer.publish("x", routing_key="whatever")

        assert (len(broker.queue("mail")), len(broker.queue("stock"))) == (1, 1)


def test_purge_and_size(broker):
    with connect(broker) as connection:
        channel, producer = declared(connection, "mail")
        producer.publish("x", routing_key="cart.a")

        assert channel.queue_declare("mail", passive=True).message_count == 1
        assert channel.queue_purge("mail") == 1
        assert channel.queue_declare("mail", passive=True).message_count == 0
