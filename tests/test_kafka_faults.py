"""`kafka://` where the log is not as it was left: deleted, made anew, paused while it moves, written to by strangers; and a cluster that goes away."""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, cimpl
from confluent_kafka.admin import AdminClient, NewTopic

from edakit import App, Bus
from edakit.brokers import from_environment, start
from edakit.errors import BrokerError
from edakit.events import KEY
from edakit.transports.kafka_fetcher import Fetcher
from edakit.transports.kafka_held import HELD
from edakit.transports.kafka_wire import headers_of
from tests.conformance.helpers import PATIENCE, added, numbers, opened, queue, taker, until
from tests.real_brokers import require_installed
from tests.shop_language import CartItemAdded, recorder

IN_TIME = 15.0
"""How long the error of a cluster that is away may take [s]."""


@pytest.fixture
def url(kafka):
    """An address with nothing on it, and one partition."""
    return f"{kafka}?namespace=t{uuid4().hex[:20]}&partitions=1"


def host(url):
    return url.partition("://")[2].partition("?")[0]


# A log that is not as it was left.


def test_events_that_were_deleted_before_they_were_read_are_told_once_and_the_rest_is_read(url):
    with opened(url) as bus:
        queue(bus)
        bus.publish_many(added(number) for number in range(10))
        bus.link.cluster.forget({(bus.link.log, 0): 6})
        assert bus.outstanding("mail") == bus.backlog("mail") == 4, "what was deleted does not wait"
        with taker(bus) as one, pytest.raises(BrokerError, match=r"offsets 0 to 5 in partition 0 of topic .* deleted before 'mail' read it; .*retention.ms"):
            one.take()
        with taker(bus) as two:
            assert numbers(two.take_all(4)) == [6, 7, 8, 9]


def all_errors(fetcher, records, *, take=Fetcher._take):
    """Take records; where one is the error of a partition, with the errors of all three."""

    def lost(record):
        return record is not None and record.error() is not None and record.error().code() == KafkaError._AUTO_OFFSET_RESET

    errors = [each for each in records if lost(each)]
    while errors and len(errors) < 3:
        errors += [each for each in [fetcher._consumer.poll(1)] if lost(each)]
    take(fetcher, errors or records)


@pytest.mark.parametrize("take", [Fetcher._take, all_errors], ids=["as they come", "in one batch"])
def test_all_partitions_that_lost_events_are_told_together(url, take, monkeypatch):
    monkeypatch.setattr(Fetcher, "_take", take)
    with opened(url.replace("partitions=1", "partitions=3")) as bus:
        queue(bus)
        bus.publish_many(added(number, str(number)) for number in range(60))
        ends = bus.link.cluster.ends(bus.link.topics.log_places())
        bus.link.cluster.forget({place: end - 2 for place, end in ends.items()})
        with taker(bus) as one, pytest.raises(BrokerError, match=r"in partition 0 .*, and .* in partition 1 .*, and .* in partition 2 "):
            one.subscription._fetcher._thread.join(PATIENCE)  # it ends with what it has to tell
            one.take()
        with taker(bus) as two:
            assert len(two.take_all(6)) == 6


def test_an_app_tells_of_deleted_events_and_goes_on_when_it_is_started_again(url):
    mail, mailed = recorder("mail")
    with closing(App(mail, broker=url)) as app:
        app.publish_many([added(number) for number in range(10)])
        app.bus.link.cluster.forget({(app.bus.link.log, 0): 6})
        with pytest.raises(BrokerError, match="was deleted before 'mail' read it"):
            app.run_until_idle()
        app.run_until_idle()

    assert sorted(int(event.product_id) for event in mailed) == [6, 7, 8, 9]


def made_anew(url, topic):
    """Have a topic deleted, and made again by the next that can."""
    admin = AdminClient({"bootstrap.servers": host(url)})
    admin.delete_topics([topic])[topic].result()

    def made():
        try:
            admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result()
        except KafkaException:
            return False
        return True

    until(made)


def test_a_log_that_was_made_anew_is_told_and_read_from_its_start(url):
    with opened(url) as bus:
        queue(bus)
        bus.publish_many(added(number) for number in range(10))
        with taker(bus) as one:
            one.take_all(10)
            until(lambda: bus.outstanding("mail") == 0)
            made_anew(url, bus.link.log)
            with opened(url) as other:
                other.publish_many(added(number) for number in range(100, 105))
                with pytest.raises(BrokerError, match=r"no topic|ends at offset [05], and 'mail' had come to 10: it was made anew"):
                    one.take()
        with opened(url) as other:
            # The one of before has committed where the new log begins, unless it looked while there was none.
            if not other.link.cluster.committed(other.link.topics.group("mail"), other.link.topics.log_places()):
                with pytest.raises(BrokerError, match="forgotten how far"):
                    other.subscribe("mail", 1)
            with taker(other) as two:
                assert numbers(two.take_all(5)) == list(range(100, 105))


def forget(url, *queues):
    """Have the offsets of these queues deleted, as the cluster does when nobody has consumed for a week."""
    namespace = url.partition("namespace=")[2].partition("&")[0]
    admin = AdminClient({"bootstrap.servers": host(url)})

    def gone(group):
        try:
            admin.delete_consumer_groups([group])[group].result()
        except KafkaException as error:
            return error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND
        return True

    for name in queues:
        until(lambda group=f"{namespace}.{name}": gone(group))


def test_offsets_that_the_cluster_has_forgotten_are_told_once_for_all_queues_and_nothing_is_lost(url):
    (mail, mailed), (stock, stocked) = recorder("mail"), recorder("stock")
    with closing(App(mail, stock, broker=url)) as first, closing(App(mail, stock, broker=url)) as app:
        first.publish_many([added(number) for number in range(3)])
        first.run_until_idle()
        app.publish(added(3))
        forget(url, "mail", "stock")
        with pytest.raises(BrokerError, match=r"forgotten how far .*: 'mail' \(4 records\), 'stock' \(4 records\); .*; start it again: .*comes again"):
            app.run_until_idle()
        assert app.backlog("mail") == 4
        app.run_until_idle()

    assert [int(event.product_id) for event in mailed] == [int(event.product_id) for event in stocked] == [0, 1, 2, 0, 1, 2, 3]


def test_a_new_app_makes_a_log_again_that_was_removed_and_its_queues_have_forgotten_nothing(url):
    mail, mailed = recorder("mail")
    for number in range(2):
        with closing(App(mail, broker=url)) as app:
            app.publish(added(number))
            app.run_until_idle()
            log = app.bus.link.log
        admin = AdminClient({"bootstrap.servers": host(url)})
        admin.delete_topics([log])[log].result()

    assert [int(event.product_id) for event in mailed] == [0, 1]


def test_a_partition_that_was_paused_when_it_went_is_read_when_it_comes_back(url):
    three = url.replace("partitions=1", "partitions=3")
    with opened(three, three) as (bus, other):
        queue(bus)
        bus.publish_many(added(number, str(number)) for number in range(HELD + 1000))
        with taker(bus, prefetch=HELD + 1000) as one:
            until(lambda: one.subscription.paused)
            with taker(other) as two:
                until(two.subscription.progress)
            assert sorted(numbers(one.take_all(HELD + 1000))) == list(range(HELD + 1000))


def test_who_is_alone_stays_so_however_short_the_session(url):
    with opened(*[url if from_environment("kafka") else f"{url}&session=1"] * 2) as (bus, other):
        queue(bus)
        entered = threading.Event()

        def enter():
            with other.link.alone("mail"):
                entered.set()

        waiting = threading.Thread(target=enter)
        with bus.link.alone("mail"):
            waiting.start()
            assert not entered.wait(4), "four sessions"
        waiting.join(PATIENCE)
        assert entered.is_set()


# What strangers write.


def publish_with_a_header_that_has_no_name(url, topic, name=b"\xff"):
    """Publish with librdkafka itself: confluent-kafka takes only texts as names of headers."""
    library = ctypes.CDLL(cimpl.__file__)  # which brings librdkafka's functions
    library.rd_kafka_headers_new.restype = ctypes.c_void_p
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_new.restype = ctypes.c_void_p
    conf, why = ctypes.c_void_p(library.rd_kafka_conf_new()), ctypes.create_string_buffer(200)
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", host(url).encode(), why, len(why))
    producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, why, len(why)))
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(1)))
    library.rd_kafka_header_add(headers, name, ctypes.c_ssize_t(len(name)), b"v", ctypes.c_ssize_t(1))
    kinds = SimpleNamespace(topic=1, value=4, headers=10, end=0)
    sent = library.rd_kafka_producev(
        producer, kinds.topic, ctypes.c_char_p(topic.encode()), kinds.value, b"{}", ctypes.c_size_t(2), kinds.headers, headers, kinds.end
    )
    assert (sent, library.rd_kafka_flush(producer, 10_000)) == (0, 0)
    library.rd_kafka_destroy(producer)


def test_a_header_whose_name_is_no_text_does_not_end_a_consumer(url):
    mail, mailed = recorder("mail")
    with App(mail, broker=url) as app:
        app.publish(added(1))
        publish_with_a_header_that_has_no_name(url, app.bus.link.log)
        app.publish(added(2))
        app.wait_until_idle(60)
        assert [event.product_id for event in mailed] == ["1", "2"]
        assert [dead.reason for dead in app.dead_letters("mail")] == ["malformed"]
        assert len(list(app.bus.link.replay())) == 3


def test_headers_that_cannot_be_read_are_asked_for_once():
    asked = []

    def headers():
        asked.append(None)
        raise SystemError

    assert headers_of(SimpleNamespace(headers=headers)) is None
    assert len(asked) == 1


def test_keys_and_headers_that_are_no_text_are_buried_and_those_that_are_none_are_not(url):
    mail, mailed = recorder("mail")
    with App(mail, broker=url) as app:
        app.publish(added(1))
        producer = Producer({"bootstrap.servers": host(url)})
        good = next(app.bus.link.replay())
        wire = [(name.replace("cloudEvents_", "ce_"), value) for name, value in good.headers.items() if name != KEY]
        wire.append(("content-type", good.content_type))
        for key, more in ((b"\xff", []), (b"k", [("none", None)]), (b"k", [("ce_id", b"\xff")]), (None, [("no text", b"\xff")])):
            producer.produce(app.bus.link.log, good.body, key=key, headers=[*wire, *more])
        producer.flush()
        app.wait_until_idle(60)

        assert len(mailed) == 1 + 2
        assert [dead.reason for dead in app.dead_letters("mail")] == ["malformed"] * 2


def test_transactions_leave_gaps_that_are_stepped_over_and_what_was_aborted_is_not_handled(url):
    mail, mailed = recorder("mail")
    with App(mail, broker=url) as app:
        app.publish(added(0))
        good = next(app.bus.link.replay())
        wire = [(name.replace("cloudEvents_", "ce_"), value) for name, value in good.headers.items()] + [("content-type", good.content_type)]
        producer = Producer({"bootstrap.servers": host(url), "transactional.id": uuid4().hex})
        producer.init_transactions()
        for end in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction, producer.abort_transaction):
            producer.begin_transaction()
            producer.produce(app.bus.link.log, good.body, headers=wire)
            producer.flush()
            end()
        app.wait_until_idle(60)
        assert len(mailed) == 1 + 2
        assert app.backlog("mail") == 0
        until(
            lambda: (
                app.bus.link.cluster.committed(app.bus.link.topics.group("mail"), [(app.bus.link.log, 0)]) == app.bus.link.cluster.ends([(app.bus.link.log, 0)])
            )
        )
        assert len(list(app.bus.link.replay())) == 3


def test_a_message_that_is_as_large_as_the_log_takes_can_be_buried_and_redriven(url):
    mail, mailed = recorder("mail")
    with App(mail, broker=url) as app:
        app.publish(added(1))
        producer = Producer({"bootstrap.servers": host(url), "message.max.bytes": 2_000_000})
        producer.produce(app.bus.link.log, b"x" * (1024 * 1024 - 100), on_delivery=lambda error, record: refused.append(error))
        refused = []
        producer.flush()
        assert refused == [None]
        app.publish(added(2))
        app.wait_until_idle(60)
        assert len(mailed) == 2
        for _ in range(2):
            (dead,) = app.dead_letters("mail")
            assert dead.reason == "malformed"
            app.redrive("mail")
            app.wait_until_idle(60)


def test_how_large_an_event_may_be_is_said_by_the_topic_and_one_that_is_too_large_takes_no_other_with_it(url):
    name = url.partition("namespace=")[2].partition("&")[0]
    admin = AdminClient({"bootstrap.servers": host(url)})
    for namespace, room in ((name, "3000000"), (f"{name}small", "100000")):
        topic = f"{namespace}.edakit"
        admin.create_topics([NewTopic(topic, num_partitions=1, config={"max.message.bytes": room})])[topic].result()
    large, small = CartItemAdded(cart_id="a", product_id="x" * 2_000_000), [added(number) for number in range(2000)]
    with closing(Bus(url, max_body=4_000_000)) as bus:
        assert bus.publish(large).id
    with closing(Bus(url.replace(name, f"{name}small"), max_body=4_000_000)) as bus:
        assert len(bus.publish_many(small)) == 2000, "batches are smaller than what the topic takes"
        for event in (small[0], large, small[1]):
            if event is large:
                with pytest.raises(BrokerError, match=r"larger than it takes .*; send less, or raise max\.message\.bytes"):
                    bus.publish(event)
            else:
                assert bus.publish(event).id
        assert len(list(bus.link.replay())) == 2002


def test_a_queue_whose_own_topic_was_removed_goes_on_where_it_was(url):
    admin = AdminClient({"bootstrap.servers": host(url)})
    with opened(url) as bus:
        queue(bus)
        bus.publish_many(added(number) for number in range(5))
        topic = bus.link.topics.own("mail")
        admin.delete_topics([topic])[topic].result()
    with opened(url) as bus:
        queue(bus)
        with taker(bus) as one:
            assert numbers(one.take_all(5)) == list(range(5))


# A cluster that goes away.


class Until:
    """A member of a group whose cluster is killed after its first answer."""

    def __init__(self, member, node):
        self.member, self.node, self.unanswered = member, node, 0

    def committed(self, *arguments, **options):
        found = self.member.committed(*arguments, **options)
        self.node.kill()
        return found

    def __getattr__(self, name):
        return getattr(self.member, name)


def test_a_cluster_that_goes_away_is_told_to_who_waits_to_be_alone_and_to_who_sets_offsets():
    require_installed("kafka")
    with start("kafka") as node, ThreadPoolExecutor(4) as threads:
        bus = Bus(node.url)
        queue(bus)
        link = bus.link
        place = (link.log, 0)
        link.cluster._members["late"] = Until(link.cluster._member("late"), node)

        def alone():
            with link.alone("mail"):
                pass

        waiting = [threads.submit(link.cluster.commit, "late", {place: 0})]
        until(lambda: not node.alive)
        waiting += [threads.submit(alone), threads.submit(link.cluster.commit, "mail", {place: 0}), threads.submit(link.cluster.forget, {place: 0})]
        for each in waiting:
            assert isinstance(each.exception(timeout=IN_TIME), BrokerError)
        threads.submit(bus.close).result(timeout=IN_TIME)


def test_who_waits_to_be_alone_is_told_that_the_topic_was_removed(url):
    with opened(url) as bus:
        queue(bus)
        topic = bus.link.topics.own("mail")
        admin = AdminClient({"bootstrap.servers": host(url)})
        admin.delete_topics([topic])[topic].result()
        with pytest.raises(BrokerError, match=f"there is no topic {topic}"), bus.link.alone("mail"):
            pass
