"""What can be wrong with a broker: each a clear error within 15 s, and nothing is lost.

Not running, wrong password, wrong virtual host, a topic that may not be made, a full disk, a file that another program has locked, a number of
partitions that somebody has changed. Nothing here is made shorter than it is for a user.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, NewPartitions, ResourcePatternType, ResourceType

from edakit import App, Bus
from edakit.brokers import start
from edakit.brokers.processes import free_ports
from edakit.errors import BrokerError, PermissionDeniedError, UncertainError
from edakit.transports.kafka_errors import WRITE, explained
from tests.conformance.helpers import added, queue, raised_within, until
from tests.real_brokers import require_installed
from tests.shop_language import recorder

IN_TIME = 15.0
"""How long any of these errors may take [s]."""

KAFKA = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:ann",
    "listeners": "PLAINTEXT://127.0.0.1:{kafka},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}",
    "advertised.listeners": "PLAINTEXT://127.0.0.1:{kafka},SASL_PLAINTEXT://127.0.0.1:{sasl}",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=full-rights user_bob=may-describe;"
    ),
}


@pytest.fixture(scope="module")
def rabbit():
    """A RabbitMQ of these tests' own, with a user who may do nothing."""
    require_installed("rabbitmq")
    with start("rabbitmq") as node:
        node.add_user("bob", "hardly-any")
        yield node


@pytest.fixture(scope="module")
def kafka_node():
    """A Kafka of these tests' own: ann may do everything, bob may only look."""
    require_installed("kafka")
    with start("kafka", settings=KAFKA, ports=["sasl"]) as node:
        look = AclBinding(ResourceType.TOPIC, "*", ResourcePatternType.LITERAL, "User:bob", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW)
        as_administrator(node.url, lambda admin: admin.create_acls([look]))
        yield node


def as_administrator(url, ask):
    """Have a cluster do what *ask* asks of it; the client goes before the cluster does, or it would print."""
    admin = AdminClient({"bootstrap.servers": url.partition("://")[2]})
    for future in ask(admin).values():
        future.result()


def fresh(url):
    return f"{url}{'&' if '?' in url else '?'}namespace=t{uuid4().hex[:16]}"


def told(use, match, kind=BrokerError):
    """Return the error that *use* raises: in time, in a sentence that says what to do, and without any password."""
    error = raised_within(IN_TIME, use, kind, match)
    assert str(error).count("; "), "what was found; what to do"
    assert error.advice
    for secret in ("not-it", "full-rights", "hardly-any", "may-describe"):
        assert secret not in f"{error} {error!r} {error.args}"
    return error


def all_told(cases):
    """Open all addresses at the same time, because some take ten seconds to fail; each must say what stands beside it."""
    with ThreadPoolExecutor(len(cases)) as pool:
        for future in [pool.submit(told, lambda url=url: Bus(url), match) for url, match in cases.items()]:
            future.result()


@contextmanager
def nothing_lost(url):
    """Publish five events, let something go wrong, publish five more: all ten are handled, each once."""
    mail, seen = recorder("mail")
    with App(mail, broker=url) as app:
        app.bus.publish_many(added(number) for number in range(5))
        yield app
        app.bus.publish_many(added(number) for number in range(5, 10))
        app.wait_until_idle(60)
    assert sorted(int(event.product_id) for event in seen) == list(range(10))


# Not running


@pytest.fixture
def slow_name_server(monkeypatch):
    """The name slow.invalid is not resolved, and nobody says so before the test is over."""
    ask, ended = socket.getaddrinfo, threading.Event()

    def never(host, *arguments, **options):
        if host != "slow.invalid":
            return ask(host, *arguments, **options)
        ended.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    yield
    ended.set()


@pytest.mark.usefixtures("slow_name_server")
def test_a_broker_that_does_not_run_or_is_not_one_is_told_in_time_by_each_address():
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        nobody, port = free_ports(1)[0], silent.getsockname()[1]
        all_told(
            {
                f"amqp://user:not-it@127.0.0.1:{nobody}/shop": r"it does not answer .*refused.*; start it \(edakit brokers up rabbitmq\), or correct host",
                f"amqp://user:not-it@127.0.0.1:{port}/shop": r"it does not answer \(the broker did not answer in time\); start it",
                "amqp://user:not-it@no-such-host.invalid/": "it does not answer .*; start it .*, or correct host and port in the URL",
                "amqp://user:not-it@slow.invalid/": "the name 'slow.invalid' could not be resolved within 4 s.*; start it",
                f"kafka://127.0.0.1:{nobody}": r"did not answer within 10 s .*refused.*; start it \(edakit brokers up kafka\), or correct the address",
                f"kafka://127.0.0.1:{port}": "did not answer within 10 s .*; start it",
                "kafka://no-such-host.invalid": "its host cannot be found .*; correct the address",
                "kafka://slow.invalid": "the name 'slow.invalid' could not be resolved within 4 s.*; correct the address",
            }
        )


def test_an_address_of_another_kind_of_broker_is_told_in_time(rabbit):
    place = f"127.0.0.1:{rabbit.port}"

    told(lambda: Bus(f"kafka://{place}"), "does not speak Kafka's protocol; correct host and port")
    told(lambda: Bus(f"amqps://user:not-it@{place}"), "speaks no TLS .*; write amqp://, or the port at which it speaks TLS")


# Wrong password, wrong virtual host, and what a user may not do


def test_rabbitmq_tells_password_virtual_host_and_right_apart(rabbit):
    place, password = f"127.0.0.1:{rabbit.port}", rabbit.state.password

    with nothing_lost(fresh(rabbit.url)):
        told(lambda: Bus(f"amqp://edakit:not-it@{place}/"), "user 'edakit' or the password was refused; correct them in the URL")
        told(lambda: Bus(f"amqp://nobody:not-it@{place}/"), "user 'nobody' or the password was refused")
        told(lambda: Bus(f"amqp://{place}/"), "user 'guest' or the password was refused")
        told(lambda: Bus(f"amqp://edakit:{password}@{place}/no-such"), "there is no virtual host 'no-such' .*; .*rabbitmqctl add_vhost")
        told(lambda: Bus(f"amqp://bob:hardly-any@{place}/"), "user 'bob' may not use: vhost '/'", PermissionDeniedError)
        assert password not in repr(App(broker=rabbit.url))


def test_an_exchange_or_a_queue_that_may_not_be_made_is_named(rabbit):
    url, name = fresh(rabbit.url), f"q{uuid4().hex[:8]}"
    bobs = url.replace(f"edakit:{rabbit.state.password}", "bob:hardly-any")

    with nothing_lost(url):
        rabbit.allow("bob", configure="^$")
        told(lambda: Bus(fresh(f"{bobs.partition('?')[0]}")), r"user 'bob' may not use: exchange 't\w+.edakit'", PermissionDeniedError)
        rabbit.allow("bob", configure=r"\.edakit$")
        with closing(Bus(bobs)) as bus:
            told(lambda: queue(bus, name), f"user 'bob' may not use: queue '.*{name}'", PermissionDeniedError)


def test_kafka_tells_a_wrong_password_from_a_topic_that_may_not_be_made(kafka_node):
    url = fresh(kafka_node.url)
    namespace = url.partition("namespace=")[2]
    sasl = f"127.0.0.1:{kafka_node.state.ports['sasl']}?mechanism=PLAIN"

    with nothing_lost(url):
        all_told(
            {
                f"kafka://ann:not-it@{sasl}": "it refuses the user 'ann' .*; correct user, password or mechanism= in the address",
                f"kafka://ann:full-rights@{sasl.partition('?')[0]}": "it refuses the user 'ann' .*SCRAM",  # which is not enabled there
                f"kafka://bob:may-describe@{sasl}&namespace={namespace}-b": f"user 'bob' may not create: topic {namespace}-b.edakit; ask who runs the broker",
                f"kafkas://127.0.0.1:{kafka_node.port}": "the port speaks no TLS; write kafka://",
            }
        )
        with closing(Bus(fresh(f"kafka://ann:full-rights@{sasl}"))) as bus:
            assert bus.publish(added(1)).id


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (KafkaError.INVALID_REPLICATION_FACTOR, "topic shop.edakit cannot be made: .*; start more brokers, or have default.replication.factor lowered"),
        (KafkaError.POLICY_VIOLATION, "topic shop.edakit may not be made as it was asked for: .*; have it made by who runs the cluster"),
    ],
)
def test_a_topic_that_cannot_be_made_is_told_with_the_reason(code, says):
    with pytest.raises(BrokerError, match=says):
        raise explained("kafka://h", "ann", KafkaError(code), None, "create", "shop.edakit")


def test_an_event_that_kafka_did_not_confirm_is_uncertain_and_a_question_that_it_did_not_answer_is_not():
    unconfirmed = explained("kafka://h", "ann", KafkaError(KafkaError._MSG_TIMED_OUT), None, WRITE, "shop.edakit")
    unanswered = explained("kafka://h", "ann", KafkaError(KafkaError._TIMED_OUT), None, "describe", "shop.edakit")

    assert isinstance(unconfirmed, UncertainError)
    assert "whether it has the event is not known; publish it again if twice is better than never" in str(unconfirmed)
    assert not isinstance(unanswered, UncertainError)


# A number of partitions that somebody has changed


def test_more_partitions_under_us_are_told_to_who_publishes_and_to_who_consumes_and_nothing_is_lost(kafka):
    url = fresh(kafka)
    mail, seen = recorder("mail")
    app = App(mail, broker=url).start()
    confirmed = [app.publish(added(number, f"c-{number}")).id for number in range(10)]
    app.wait_until_idle(60)
    as_administrator(kafka, lambda admin: admin.create_partitions([NewPartitions(app.bus.link.log, 5)]))
    begin = time.monotonic()

    def publish_on():
        while time.monotonic() < begin + IN_TIME:
            confirmed.append(app.publish(added(len(confirmed), f"c-{len(confirmed) % 40}")).id)

    told(publish_on, "has other partitions than the 3 that it had: .*; make a new App")
    until(lambda: app._running.servers["mail"].errors, begin + IN_TIME - time.monotonic())
    assert "other partitions" in str(app._running.servers["mail"].errors[0])
    app.close()

    with App(mail, broker=url) as again:
        for number in range(40):
            confirmed.append(again.publish(added(len(confirmed), f"c-{number}")).id)
        again.wait_until_idle(60)
        assert again.bus.link.cluster.partitions(again.bus.link.log) == 5
    assert {int(event.product_id) for event in seen} == set(range(len(confirmed)))


# A file that another program has locked


LOCKER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
other.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_program_locks(path):
    with subprocess.Popen([sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        yield
        other.stdin.close()


def test_a_file_that_another_program_keeps_locked_is_told_in_time_to_all_and_nothing_is_lost(tmp_path):
    url = f"sqlite:///{(tmp_path / 'shop.db').as_posix()}"
    says = "another program has locked it and did not let go; close that program"

    with nothing_lost(url) as app:
        app.wait_until_idle(60)
        opened = f"import time, edakit\nbegin = time.monotonic()\ntry:\n    edakit.Bus({url!r})\nfinally:\n    print(time.monotonic() - begin)"
        with another_program_locks(tmp_path / "shop.db"), ThreadPoolExecutor() as pool:
            other = subprocess.Popen([sys.executable, "-c", opened], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for future in [pool.submit(told, lambda: app.publish(added(99)), says), pool.submit(told, lambda: app.publish_many([added(99)]), says)]:
                future.result()
            took, said = other.communicate(timeout=60)  # with the start of an interpreter
            assert says in said
            assert float(took) < IN_TIME
        assert app.bus.backlog("mail") == 0, "what was refused was not published"


# A disk that is full


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files; the full disk itself is in test_sqlite.py")
def test_a_file_that_may_not_grow_is_told_by_that_very_call_and_nothing_is_lost(tmp_path):
    path = tmp_path / "shop.db"

    out = subprocess.run([sys.executable, "-c", GROWING, str(path)], capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()

    assert out[0].endswith("nothing more can be written to it: a quota, a limit on the size of files, or a fault of the disk; make room or raise the limit "
                           "(ulimit -f), then publish again: nothing was written, and what was there is safe")  # fmt: skip
    assert out[1:] == ["refused in time: True", "confirmed, and handled by the same worker: True", "and by nobody else: True"]
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


GROWING = """
import os, resource, sys, time
from edakit import App
from edakit.errors import BrokerError
from tests.shop_language import CartItemAdded, recorder

path = sys.argv[1]
mail, seen = recorder("mail")
with App(mail, broker=f"sqlite:///{path}") as app:
    app.publish(CartItemAdded(cart_id="a", product_id="0"))
    app.wait_until_idle(60)
    confirmed, refused, slowest = [0], [], 0.0
    # A real failure of write(2): the process may not make any file larger than this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path + "-wal") + 200_000, resource.RLIM_INFINITY))
    for number in range(1, 2000):
        begin = time.monotonic()
        try:
            app.publish(CartItemAdded(cart_id="a" * 500, product_id=str(number)))
            confirmed.append(number)
        except BrokerError as error:
            refused.append(error)
            slowest = max(slowest, time.monotonic() - begin)
            if len(refused) == 5:
                break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    app.publish(CartItemAdded(cart_id="a", product_id="5000"))
    app.wait_until_idle(60)
    print(refused[0])
    print("refused in time:", slowest < 15)
    print("confirmed, and handled by the same worker:", sorted(int(event.product_id) for event in seen) == [*confirmed, 5000])
    print("and by nobody else:", not app.dead_letters() and app.backlog("mail") == 0)
"""
