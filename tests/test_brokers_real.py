"""RabbitMQ and Kafka as nodes of this machine: they start, answer, restart and go without a trace."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time

import psutil
import pytest
from amqp.exceptions import AccessRefused, NotAllowed
from kombu import Connection

from edakit.brokers import BrokerCommandError, BrokerStartError, down, running, start, state_folder, status, up
from edakit.brokers.machine import KINDS
from edakit.brokers.processes import marked
from tests.real_brokers import require_installed

BOTH = pytest.mark.parametrize("name", ["rabbitmq", "kafka"])
# epmd adds the other address of the loopback interface to the one that it is told.
LOOPBACK = {"beam.smp": {"127.0.0.1"}, "java": {"127.0.0.1"}, "epmd": {"127.0.0.1", "::1"}}


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory):
    """A state folder of these tests' own, so that they leave alone what the user has started; Java's archive of classes is used again."""
    with pytest.MonkeyPatch.context() as patch:
        archives = list(state_folder().glob("classes-*.jsa"))
        patch.setenv("EDAKIT_STATE", str(tmp_path_factory.mktemp("state")))
        for archive in archives:
            (state_folder() / archive.name).symlink_to(archive)
        yield
        for name in KINDS:
            down(name, erase=True)


@pytest.fixture
def shared(name, monkeypatch):
    """The node that `edakit brokers up` starts."""
    monkeypatch.delenv(f"EDAKIT_{name.upper()}", raising=False)
    require_installed(name)
    return up(name)


@pytest.fixture(scope="module")
def private():
    """Give a node that other tests of this module use too."""
    nodes = {}

    def give(name):
        require_installed(name)
        if name not in nodes:
            nodes[name] = start(name)
        nodes[name].start()
        return nodes[name]

    yield give
    for node in nodes.values():
        node.close()


def ask_kafka(port, key, version, body):
    """Send one request (without flexible fields) and return the answer after its correlation id."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile("rb") as answer:
        request = struct.pack(">hhih", key, version, 1, -1) + body
        connection.sendall(struct.pack(">i", len(request)) + request)
        return answer.read(struct.unpack(">i", answer.read(4))[0])[4:]


def topic_error(port, topic, *, create=False):
    """Ask for one topic (Metadata, version 4); return its error code: 0 it is there, 3 it is unknown, 5 it has no leader yet."""
    answer = ask_kafka(port, 3, 4, struct.pack(">ih", 1, len(topic)) + topic.encode() + bytes([create]))
    return struct.unpack(">h", answer[answer.rindex(topic.encode()) - 4 :][:2])[0]


def keep_something(node):
    """Leave something durable on the node's disk."""
    if node.name == "RabbitMQ":
        with Connection(node.url, transport_options={"confirm_publish": True}) as connection:
            connection.SimpleQueue("kept").put("still here", delivery_mode=2)
    else:
        topic_error(node.port, "kept", create=True)
        until(lambda: topic_error(node.port, "kept") == 0)


def has_kept_it(node):
    if node.name == "RabbitMQ":
        with Connection(node.url) as connection, connection.channel() as channel:
            return channel.basic_get("kept") is not None  # given back when the channel closes
    return topic_error(node.port, "kept") in {0, 5}


def until(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline


def state_of(name):
    return next(row[1] for row in status().rows if row[0] == KINDS[name].name)


def test_a_rabbitmq_takes_and_gives_a_message(rabbitmq):
    with Connection(rabbitmq) as connection:
        queue = connection.SimpleQueue("taken-and-given", queue_opts={"auto_delete": True, "durable": False})
        queue.put("hello")
        message = queue.get(timeout=60)
        message.ack()

    assert message.payload == "hello"


def test_a_kafka_says_which_requests_it_knows(kafka):
    port = int(kafka.rpartition(":")[2])

    error, known = struct.unpack_from(">hi", ask_kafka(port, 18, 0, b""))

    assert error == 0
    assert known > 30


@BOTH
def test_started_twice_it_is_the_one_that_runs(shared, name):
    again = up(name)

    assert (again.state.pid, again.url) == (shared.state.pid, shared.url)
    with running(name) as url:
        assert url == shared.url


@BOTH
def test_status_tells_where_it_runs_and_not_its_password(shared, name):
    shown = repr(status())

    assert f"runs, process {shared.state.pid}" in shown
    assert f"127.0.0.1:{shared.port}" in shown
    assert shared.state.password not in shown


@BOTH
def test_it_listens_on_this_machine_only(shared, name):
    processes = marked(shared.mark)

    listening = {
        (process.name(), place.laddr.ip, place.laddr.port)
        for process in processes
        for place in process.net_connections("inet")
        if place.status == psutil.CONN_LISTEN
    }

    assert {port for _, _, port in listening} == set(shared.state.ports.values())
    assert [(program, ip) for program, ip, _ in listening if ip not in LOOPBACK[program.removesuffix(".exe")]] == []


@BOTH
def test_two_nodes_share_neither_port_nor_folder_nor_data(shared, private, name):
    other = private(name)

    keep_something(other)

    assert not set(shared.state.ports.values()) & set(other.state.ports.values())
    assert not shared.folder.is_relative_to(other.folder)
    assert not other.folder.is_relative_to(shared.folder)
    if name == "kafka":
        assert topic_error(shared.port, "kept") == 3
    else:
        assert "kept" in other.control("list_queues", "name")
        assert "kept" not in shared.control("list_queues", "name")
        assert (shared.folder / ".erlang.cookie").read_bytes() != (other.folder / ".erlang.cookie").read_bytes()


@BOTH
def test_killed_or_stopped_it_comes_back_at_the_same_address_with_its_data(private, name):
    node = private(name)
    keep_something(node)
    url, before = node.url, {process.pid for process in marked(node.mark)}

    node.restart(kill=True)
    assert has_kept_it(node)
    node.restart()
    assert has_kept_it(node)

    assert node.url == url
    assert not before & {process.pid for process in marked(node.mark)}


@BOTH
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_after_kill_9_status_says_so_and_nothing_is_left(shared, name):
    os.kill(shared.state.pid, signal.SIGKILL)
    psutil.Process(shared.state.pid).wait()

    assert state_of(name).startswith(f"has gone: process {shared.state.pid} ended")

    assert marked(shared.mark) == []
    assert up(name).url == shared.url


@BOTH
def test_down_leaves_no_process_and_no_listener(shared, name):
    assert down(name)

    assert marked(shared.mark) == []
    assert not KINDS[name].answers("127.0.0.1", shared.port)
    assert state_of(name) == f"stopped; `edakit brokers up {name}` starts it"


@pytest.mark.parametrize(("name", "wrong"), [("rabbitmq", {"no.such.setting": "1"}), ("kafka", {"process.roles": "nonsense"})])
def test_a_server_that_does_not_start_is_quoted_and_leaves_nothing(name, wrong):
    require_installed(name)

    with pytest.raises(BrokerStartError, match=next(iter(wrong))):
        start(name, settings=wrong)

    assert [folder for folder in (state_folder() / "temporary").iterdir() if not (folder / "data").exists()] == []


def test_a_user_may_do_on_rabbitmq_what_was_allowed_and_nothing_else(private):
    node = private("rabbitmq")
    reader = node.add_user("reader", "a pass:word/@")
    node.add_vhost("shop 2")

    with pytest.raises(NotAllowed, match="access to vhost"), Connection(reader) as connection:
        connection.connect()
    node.allow("reader", configure="^mine$", write="^$", read="^mine$")
    with Connection(reader) as connection:
        channel = connection.channel()
        channel.queue_declare("mine", durable=True)
        with pytest.raises(AccessRefused, match="queue 'theirs'"):
            channel.queue_declare("theirs", durable=True)
    with pytest.raises(AccessRefused), Connection(node.url_for("reader", "wrong")) as connection:
        connection.connect()
    with Connection(node.url_for("edakit", node.state.password, "shop 2")) as connection:
        connection.connect()


def test_a_command_that_fails_says_what_rabbitmqctl_said(private):
    with pytest.raises(BrokerCommandError, match=r"rabbitmqctl set_user_tags nobody failed: (?s:.*)(no_such_user|does not exist|not found)"):
        private("rabbitmq").control("set_user_tags", "nobody")
