"""The kombu transport behind sqlite://, through kombu's own API, and what a file can do to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import kombu
import pytest
from amqp.exceptions import ChannelError

from edakit import App, Backoff, Bus, Component
from edakit.errors import BrokerError, ClosedError, QueueFullError, UnroutableEventError, WaitTimeoutError
from edakit.transports import sqlite_file
from edakit.transports.sqlite import Transport
from edakit.transports.sqlite_consumer import Consumer
from edakit.transports.sqlite_file import File
from edakit.transports.sqlite_keeper import Keeper
from edakit.transports.sqlite_store import Store
from tests.conformance.helpers import Taker, added, numbers, opened, queue, taker, until
from tests.shop_language import CartItemAdded, OrderPlaced, recorder


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "shop.db")


@pytest.fixture
def url(path):
    return f"sqlite:///{Path(path).as_posix()}?lease=0.4"


def connect(path, **options):
    return kombu.Connection(transport=Transport, transport_options={"path": path, **options})


def declared(connection, *names, pattern="cart.#", kind="topic", **options):
    exchange = kombu.Exchange("shop", kind)
    channel = connection.channel()
    for name in names:
        kombu.Queue(name, exchange, pattern, **options)(channel).declare()
    return channel, kombu.Producer(channel, exchange)


def size(channel, name):
    return channel.queue_declare(name, passive=True).message_count


def test_kombus_own_producer_and_consumer_work_on_it(path):
    seen = []
    with connect(path) as connection, connect(path) as other:
        _, producer = declared(connection, "mail")
        producer.publish({"quantity": 2}, routing_key="cart.item.added")
        with kombu.Consumer(other, kombu.Queue("mail"), callbacks=[lambda body, message: (seen.append(body), message.ack())], accept=["json"]):
            other.drain_events(timeout=60)
            with pytest.raises(TimeoutError):
                other.drain_events(timeout=0.01)

    assert seen == [{"quantity": 2}]
    with connect(path) as connection:
        assert size(connection.channel(), "mail") == 0


def test_a_publisher_wakes_a_waiting_consumer_also_of_another_connection(path):
    seen, published = [], []
    with connect(path) as connection, connect(path, sync="full") as other:  # another mode: another connection to the file, as from another process
        _, producer = declared(connection, "mail")
        with kombu.Consumer(other, kombu.Queue("mail"), callbacks=[lambda body, message: seen.append(time.perf_counter())], accept=["json"]):
            for _ in range(5):
                waiting = threading.Thread(target=lambda: other.drain_events(timeout=20))
                waiting.start()
                time.sleep(0.05)
                published.append(time.perf_counter())
                producer.publish([1], routing_key="cart.added")
                waiting.join()

    waits = sorted(after - before for before, after in zip(published, seen, strict=True))
    assert waits[2] < 0.4, "kombu's own sleeps for a second here, of which 0.05 s are over"


def test_what_a_closed_channel_had_not_acked_comes_back_in_order_and_to_that_queue_only(path):
    with connect(path) as connection:
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
        assert size(channel, "stock") == 4


def test_requeue_and_reject_concern_their_own_queue(path):
    with connect(path) as connection:
        channel, producer = declared(connection, "mail", "stock")
        producer.publish("x", routing_key="cart.added")
        channel.basic_get("mail").requeue()
        assert (size(channel, "mail"), size(channel, "stock")) == (1, 1)

        channel.basic_get("mail").reject()
        assert (size(channel, "mail"), size(channel, "stock")) == (0, 1)


def test_ack_multiple_settles_all_before_and_a_message_is_acked_once(path):
    with connect(path) as connection:
        channel, producer = declared(connection, "mail")
        for number in range(3):
            producer.publish(number, routing_key="cart.added")
        messages = [channel.basic_get("mail") for _ in range(3)]
        messages[1].ack(multiple=True)

        assert list(channel.unacked) == [messages[2].delivery_tag]
        with pytest.raises(messages[1].MessageStateError):
            messages[1].ack()
        channel.close()
        with pytest.raises(messages[2].MessageStateError):
            messages[2].ack()


def test_prefetch_limits_what_is_handed_out(path):
    seen = []
    with connect(path) as connection:
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


def test_mandatory_missing_names_and_conflicts_are_errors(path):
    with connect(path) as connection:
        channel, producer = declared(connection, "mail")
        with pytest.raises(UnroutableEventError, match=r"no queue is bound to 'order.placed' \(bound: 'cart.#'\)"):
            producer.publish("x", routing_key="order.placed", mandatory=True)
        with pytest.raises(ChannelError, match="no exchange 'nowhere'"):
            kombu.Producer(channel).publish("x", exchange="nowhere", routing_key="a")
        with pytest.raises(ChannelError, match="no queue 'nothing'"):
            channel.basic_get("nothing")
        with pytest.raises(ChannelError, match="is of kind topic, not fanout"):
            channel.exchange_declare("shop", "fanout")
        with pytest.raises(ChannelError, match="give the queue a name"):
            channel.queue_declare("")
        with pytest.raises(ChannelError, match="no queue here knows x-message-ttl"):
            channel.queue_declare("brief", arguments={"x-message-ttl": 1000})


def test_routes_follow_bind_unbind_and_delete_of_any_process(path):
    with connect(path) as connection, connect(path, sync="full") as other:
        channel, producer = declared(connection, "mail", "stock", pattern="a")
        distant = other.channel()
        producer.publish("x", routing_key="a")
        distant.queue_unbind("mail", "shop", "a")
        producer.publish("x", routing_key="a")
        distant.queue_delete("stock")
        producer.publish("x", routing_key="a")

        assert size(channel, "mail") == 1
        with pytest.raises(ChannelError):
            size(channel, "stock")
        distant.exchange_delete("shop")
        with pytest.raises(ChannelError, match="no exchange"):
            producer.publish("x", routing_key="a")


def test_fanout_default_exchange_purge_and_bounds(path):
    with connect(path) as connection:
        channel, producer = declared(connection, "mail", "stock", pattern="", kind="fanout", queue_arguments={"x-max-length": 2, "x-overflow": "raise"})
        producer.publish("x", routing_key="whatever")
        kombu.Producer(channel).publish("x", exchange="", routing_key="mail")
        assert (size(channel, "mail"), size(channel, "stock")) == (2, 1)
        with pytest.raises(QueueFullError):
            producer.publish("x", routing_key="whatever")
        assert (size(channel, "mail"), size(channel, "stock")) == (2, 1), "none took it"
        assert channel.queue_purge("mail") == 2
        channel.queue_delete("stock", if_empty=True)
        assert size(channel, "stock") == 1


def test_a_publisher_waits_for_room_that_another_process_makes(url):
    url = url.replace("lease=0.4", "lease=10")  # on a busy machine a short one may be over
    bus, other = Bus(url), Bus(f"{url}&sync=full")  # another mode: another connection to the file, as from another process
    queue(bus, bound=2, when_full="wait")
    with taker(other, prefetch=1) as slow:

        def work():
            for _ in range(20):
                message = slow.take()
                time.sleep(0.005)
                message.ack()

        working = threading.Thread(target=work)
        working.start()
        for number in range(20):
            bus.publish(added(number))
            assert bus.backlog("mail") <= 2
        working.join()
    bus.publish_many([added(1), added(2)])
    before = time.monotonic()
    with pytest.raises(QueueFullError):
        bus.publish(added(3))
    assert time.monotonic() - before < 20, "nobody takes: nobody would make room"
    bus.close()
    other.close()


def test_a_full_queue_drops_its_oldest_event_and_none_that_its_key_waits_for(url):
    bus = Bus(url)
    queue(bus, bound=1, when_full="drop oldest")
    bus.publish(added(1))
    with taker(bus) as taking:
        taking.take().retry(time.time_ns() + 60_000_000_000)
        bus.publish(added(2))
        bus.publish(added(3))

    assert numbers(bus.link.browse("mail")) == [1, 3]
    bus.close()


def test_opening_and_closing_leaves_one_file_and_no_thread(path):
    before = set(threading.enumerate())
    with connect(path) as connection:
        channel, producer = declared(connection, "mail")
        producer.publish("x", routing_key="cart.a")
        channel.basic_get("mail")
        assert len(set(threading.enumerate()) - before) == 1

    assert set(threading.enumerate()) <= before
    assert [file.name for file in Path(path).parent.iterdir()] == ["shop.db"]
    assert not File.opened


def test_no_thread_runs_when_nobody_takes(url):
    before = set(threading.enumerate())
    bus = Bus(url)
    queue(bus)
    bus.publish(added(1))
    assert set(threading.enumerate()) <= before
    bus.close()


def test_a_lease_is_renewed_while_a_handler_works_longer_than_it_lasts(url):
    mail, seen, other = Component("mail"), [], Bus(url)

    @mail.on(CartItemAdded)
    def handle(event, context):
        seen.append(event)
        time.sleep(1.0)

    with App(mail, broker=url) as app:
        app.publish(added(1))
        until(lambda: seen)
        with taker(other) as rival:
            assert rival.take(0.8) is None, "the lease of 0.4 s was renewed"
        app.wait_until_idle(60)
    other.close()

    assert len(seen) == 1


@contextmanager
def keeper_off():
    """Let nobody renew a lease or end one."""
    whole = Keeper.go_round
    Keeper.go_round = lambda self: None
    try:
        yield
    finally:
        Keeper.go_round = whole


def test_without_renewal_the_messages_go_to_somebody_else_and_the_first_cannot_ack_them(url):
    bus = Bus(url)
    queue(bus)
    bus.publish_many(added(number) for number in range(3))
    with keeper_off():
        slow = Taker(bus)
        message, waiting = slow.take(), slow.take()
        time.sleep(0.5)
    # Whoever looks next finds the lease over; here it is the same keeper, which finds its own consumer's row gone when it renews.
    bus.link.file.write(lambda connection: connection.execute("UPDATE message SET consumer = 0"))
    bus.link.file.write(lambda connection: connection.execute("DELETE FROM consumer"))
    with taker(bus) as other:
        assert numbers(other.take_all(3)) == [0, 1, 2]
        until(lambda: not slow.subscription.in_flight)
        for late in (message, waiting):
            with pytest.raises(message.MessageStateError, match="is not this consumer's any more"):
                late.ack()
    slow.close()
    assert bus.outstanding("mail") == 0
    bus.close()


def test_an_ack_after_the_lease_was_lost_does_not_end_what_somebody_else_has(url):
    bus = Bus(url)
    queue(bus)
    bus.publish(added(1))
    with keeper_off(), taker(bus) as slow, taker(bus) as other:
        message = slow.take()
        file = bus.link.file
        file.write(lambda connection: connection.execute("UPDATE message SET consumer = 0"))
        again = other.take()
        message.ack()  # it does not know yet that it lost it
        slow.subscription._consumer.flush()
        assert bus.outstanding("mail") == 1
        again.ack()
        assert bus.outstanding("mail") == 0
    bus.close()


def test_a_lease_from_before_the_machine_started_again_is_over(path):
    file = File.open(path)
    store = Store(file)
    store.declare_queue("mail")
    store.publish("", [("mail", (b"x", {}, None, None, {}))])
    far = time.monotonic_ns() + 10**15
    file.write(lambda connection: connection.execute("INSERT INTO consumer VALUES (77, 1, ?, 1000000000)", (far,)))
    file.write(lambda connection: connection.execute("UPDATE message SET consumer = 77"))
    assert store.consumers("mail") == 0

    consumer = Consumer(store, "mail")
    until(lambda: len(consumer) == 1)
    assert consumer.get().redelivered
    consumer.close()
    file.release()


def test_a_lease_that_was_renewed_after_the_keeper_looked_at_the_clock_is_not_over(path, monkeypatch):
    file = File.open(path)
    store = Store(file)
    store.declare_queue("mail")
    store.publish("", [("mail", (b"x", {}, None, None, {}))])
    consumer = Consumer(store, "mail", lease=10)
    message = consumer.get()
    monkeypatch.setattr(Consumer, "renew", lambda self: None)
    file.write(lambda connection: connection.execute("UPDATE consumer SET deadline_ns = ?", (time.monotonic_ns() + 11 * 10**9,)))

    Keeper.of(file).go_round()

    consumer.ack(message)
    assert store.consumers("mail") == 1
    consumer.close()
    assert store.counts(["mail"]) == {"mail": 0}
    file.release()


def test_a_file_of_another_process_of_ours_is_found_by_either_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with kombu.Connection(transport=Transport, transport_options={"path": "shop.db"}) as one, connect(str(tmp_path / "shop.db")) as two:
        one.channel(), two.channel()
        assert len(File.opened) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_a_process_that_has_the_file_open_may_not_open_it_again_because_sqlite_would_lose_what_it_writes(path, url):
    code = """
import os, sqlite3, sys
from edakit import Bus
from edakit.errors import ForkedError
bus = Bus(sys.argv[1])
if not os.fork():
    try:
        Bus(sys.argv[1])
    except ForkedError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
bus.close()
if not os.fork():
    Bus(sys.argv[1]).close()
    print("closed before the fork: all is well", flush=True)
    os._exit(0)
os.wait()
"""
    told = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True).stdout.splitlines()

    assert "shop.db was opened by process" in told[0]
    assert "choose the start method 'spawn'" in told[0]
    assert told[1] == "closed before the fork: all is well"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_sqlite_itself_loses_what_a_fork_writes(path):
    code = """
import os, sqlite3, sys
parent = sqlite3.connect(sys.argv[1], isolation_level=None)
parent.execute("PRAGMA journal_mode=wal")
parent.execute("CREATE TABLE t (x)")
(heard, tell), (closed, close) = os.pipe(), os.pipe()
if not os.fork():
    child = sqlite3.connect(sys.argv[1], isolation_level=None)
    child.execute("INSERT INTO t VALUES (1)")
    os.write(tell, b"x")
    os.read(closed, 1)
    child.execute("INSERT INTO t VALUES (2)")
    os._exit(0)
os.read(heard, 1)
parent.close()
os.write(close, b"x")
os.wait()
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM t").fetchone()[0])
"""
    written = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout

    assert written == "1\n", "if this is 2 one day, a fork may open the file again"


def test_a_finalizer_in_the_middle_of_a_transaction_joins_it(url):
    bus, dying = Bus(url), Bus(url)
    queue(bus)
    bus.publish(added(1))
    taking = Taker(dying)
    taking.take()

    bus.link.file.write(lambda connection: dying.close())

    with taker(bus) as again:
        assert numbers(again.take_all(1)) == [1]
    bus.close()


class Interrupted:
    """A connection to a file whose user presses Ctrl-C as a transaction begins."""

    def __init__(self, connection):
        self.connection = connection

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, statement, *values):
        found = self.connection.execute(statement, *values)
        if statement == "BEGIN IMMEDIATE":
            raise KeyboardInterrupt
        return found


def test_after_ctrl_c_as_a_transaction_begins_what_is_published_is_committed(url, monkeypatch):
    bus, other = Bus(url), Bus(f"{url}&sync=full")  # another mode: another connection to the file, as from another process
    queue(bus)
    with monkeypatch.context() as patch:
        patch.setattr(bus.link.file, "connection", Interrupted(bus.link.file.connection))
        with pytest.raises(KeyboardInterrupt):
            bus.publish(added(1))

    bus.publish(added(2))

    assert other.backlog("mail") == 1
    bus.close()
    other.close()


def test_a_finalizer_in_the_middle_of_a_transaction_does_not_wait_for_who_waits_for_its_end(url):
    bus, dying = Bus(url), Bus(url)
    queue(bus)
    taking = Taker(dying)
    lock = taking.subscription._consumer.lock

    def held():
        found = []

        def look():
            if lock.acquire(blocking=False):
                lock.release()
            else:
                found.append(lock)

        looking = threading.Thread(target=look)
        looking.start()
        looking.join()
        return found

    def finalizer(connection):
        waiting.start()
        until(held)
        dying.close()

    waiting = threading.Thread(target=taking.subscription.get, daemon=True)
    transaction = threading.Thread(target=bus.link.file.write, args=[finalizer], daemon=True)
    transaction.start()
    transaction.join(60)

    assert not transaction.is_alive()
    waiting.join()
    bus.publish(added(1))
    with taker(bus) as again:
        assert numbers(again.take_all(1)) == [1]
    bus.close()


# What a file can do to us: each a clear error, and nothing lost.


def told(url, match):
    before = time.monotonic()
    with pytest.raises(BrokerError, match=match) as caught:
        Bus(url)
    assert time.monotonic() - before < 15
    assert not File.opened
    return caught.value


def test_a_missing_folder_is_named(tmp_path):
    assert "make it, or name" in str(told(f"sqlite:///{tmp_path}/nowhere/shop.db", "there is no folder '.*nowhere'"))


def test_a_folder_is_no_file(tmp_path):
    told(f"sqlite:///{tmp_path}", "this is a folder; name a file")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("Dear diary, " * 100)
    told(f"sqlite:///{tmp_path}/notes.txt", "it is a file, but no SQLite database")
    assert (tmp_path / "notes.txt").read_text() == "Dear diary, " * 100


def test_a_database_of_another_program_is_left_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE diary (entry TEXT)")
    other.close()
    told(f"sqlite:///{tmp_path}/other.db", "this is a database of another program")


def test_a_newer_schema_is_refused(path, url):
    Bus(url).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=2")
    newer.close()
    told(url, r"a newer edakit wrote it \(schema 2, known here 1\); update edakit")


@contextmanager
def locked(path):
    """Be another program that has locked the file."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_locked_file_is_waited_for_then_told_and_nothing_is_lost(path, url, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.3)
    mail, seen = recorder("mail")
    with App(mail, broker=url) as app:
        app.publish(added(1))
        app.wait_until_idle(60)
        with locked(path):
            before = time.monotonic()
            with pytest.raises(BrokerError, match="another program has locked it and did not let go; close that program"):
                app.publish(added(2))
            assert 0.3 <= time.monotonic() - before < 8
        app.publish(added(3))
        app.wait_until_idle(60)
        letters = app.dead_letters()

    assert [event.product_id for event in seen] == ["1", "3"], "what was refused was not published, and the worker goes on"
    assert letters == []


def test_a_file_that_is_locked_while_it_is_opened_is_told(path, url, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.2)
    Bus(url).close()
    with locked(path):
        told(url, "another program has locked it")


def test_a_full_disk_is_told_by_that_very_call_and_work_goes_on_when_there_is_room(path, url):
    bus = Bus(url)
    queue(bus)
    connection = bus.link.file.connection
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0] + 20}")
    confirmed = []
    with pytest.raises(BrokerError, match="the disk is full; make room, then publish again"):
        for number in range(5000):
            bus.publish(CartItemAdded(cart_id="a", product_id=str(number)))
            confirmed.append(number)
    with pytest.raises(BrokerError, match="the disk is full"):
        bus.publish_many(added(number) for number in range(10**5, 10**5 + 2000))
    with taker(bus) as taking:
        assert numbers(taking.take_all(len(confirmed))) == confirmed, "what was confirmed is there, and nothing else"
        assert taking.take(0.05) is None
    connection.execute("PRAGMA max_page_count=100000")
    bus.publish(added(1))
    assert bus.backlog("mail") == 1
    bus.close()


def test_a_handler_that_cannot_publish_on_a_full_disk_is_tried_again_and_its_worker_lives(url):
    mail, done = Component("mail", max_attempts=2, backoff=Backoff(0.001, 0.001)), []

    @mail.on(CartItemAdded)
    def handle(event, context):
        context.publish(OrderPlaced(order_id="x" * 100_000))
        done.append(event)

    with App(mail, broker=url) as app:
        connection = app.bus.link.file.connection
        app.publish(added(1))
        app.wait_until_idle(60)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 10}")
        app.publish(added(2))
        until(lambda: any(row.outcome == "dead" for row in app.trace.deliveries) or len(app.trace.deliveries) > 2)
        connection.execute("PRAGMA max_page_count=100000")
        app.wait_until_idle(60)
        app.redrive("mail")
        app.wait_until_idle(60)

    assert [event.product_id for event in done] == ["1", "2"]


def test_a_dead_letter_that_cannot_be_written_is_told_and_its_event_stays_until_it_can_be(url):
    mail, tries = Component("mail", max_attempts=1), []

    @mail.on(OrderPlaced)
    def handle(event, context):
        tries.append(event)
        raise ValueError("no such template")

    with closing(App(mail, broker=url)) as app:
        app.publish(OrderPlaced(order_id="x" * 100_000))
        connection = app.bus.link.file.connection
        connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0] + 10}")
        with pytest.raises(BrokerError, match="full"):
            app.run_until_idle()
        assert (len(tries), app.backlog("mail"), app.dead_letters("mail")) == (1, 1, [])
        app.start()
        until(lambda: len(tries) > 1)
        with pytest.raises(WaitTimeoutError, match=r"mail has 1 events, mail: no dead letter was written, so what was not acked comes again \(.*full"):
            app.wait_until_idle(0.5)
        assert "Dead: mail: no dead letter was written" in app.report().says
        assert len(tries) < 5, "it does not spin"
        connection.execute("PRAGMA max_page_count=100000")
        app.wait_until_idle()
        assert [dead.error for dead in app.dead_letters("mail")] == ["ValueError: no such template"]
        assert "no dead letter was written" not in app.report().says


def test_a_file_that_may_only_be_read_is_told(url):
    bus = Bus(url)
    queue(bus)
    bus.link.file.connection.execute("PRAGMA query_only=on")  # what SQLite answers for a file without the right to write; root has every right
    with pytest.raises(BrokerError, match="it may be read but not written; give yourself the right"):
        bus.publish(added(1))
    bus.link.file.connection.execute("PRAGMA query_only=off")
    assert bus.backlog("mail") == 0
    bus.close()


def test_a_file_and_a_folder_without_the_right_to_write_are_told_when_they_are_opened():
    code = """
import os, sys
from pathlib import Path
from edakit import Bus
from edakit.errors import BrokerError
file = Path(sys.argv[1])
Bus(f"sqlite:///{file.as_posix()}").close()
file.chmod(0o444)
file.parent.chmod(0o555)
if hasattr(os, "geteuid") and os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)  # root may write whatever the rights say: go on as nobody
try:
    Bus(f"sqlite:///{file.as_posix()}")
except BrokerError as error:
    print(error)
"""
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run([sys.executable, "-c", code, f"{folder}/shop.db"], capture_output=True, text=True, check=True).stdout
        Path(folder).chmod(0o755)
        (Path(folder) / "shop.db").chmod(0o644)

    assert "may be read but not written" in told or "cannot be opened" in told, told


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody remove a file that is open")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_removed_under_us_is_told_and_takes_no_event_that_nobody_would_find(path, url, replaced):
    bus = Bus(url)
    queue(bus)
    for end in ("", "-wal", "-shm"):
        Path(path + end).unlink()
    if replaced:
        Path(path).touch()

    with pytest.raises(BrokerError, match="somebody has removed or replaced it while it was open here"):
        bus.publish(added(1))
    with pytest.raises(BrokerError, match="then try again"):
        Bus(url)
    bus.close()
    with opened(url) as again:
        queue(again)
        assert again.publish(added(1)).queues == 1


def test_use_after_close_says_so_also_through_kombu(path):
    connection = connect(path)
    channel, _ = declared(connection, "mail")
    connection.release()
    with pytest.raises(ClosedError, match=r"the connection to sqlite:///.*shop.db is closed"):
        channel.basic_publish(channel.prepare_message("x"), "shop", "cart.a")
