"""What `edakit brokers` says and does where no RabbitMQ and no Kafka is needed; the server here is a few lines of Python."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edakit import cli
from edakit.brokers import (
    BrokerNotFoundError,
    BrokerNotRunningError,
    BrokerStartError,
    Node,
    down,
    from_environment,
    processes,
    redacted,
    running,
    start,
    status,
    up,
    url,
)
from edakit.brokers.errors import EXAMPLES, INSTALL
from edakit.brokers.folders import shared_folder, state_folder
from edakit.brokers.kafka import class_path, find_java
from edakit.brokers.machine import KINDS
from edakit.brokers.processes import HOST, PORTS, free_ports, kill, lives, marked
from edakit.brokers.rabbitmq import find_scripts
from edakit.errors import BrokerURLError, InvalidValueError
from tests.real_brokers import require_installed

ROOT = Path(__file__).parents[1]
# Listens until it is ended, with a second process in a session of its own, as RabbitMQ has its epmd.
SERVER = """
    import socket, subprocess, sys, time
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        server.accept()[0].close()
"""


class Fake(Node):
    """A broker in a few lines."""

    name = "Fake"
    purposes = ("fake", "other")
    program = SERVER

    @property
    def url(self):
        return f"fake://edakit:{self.state.password}@{HOST}:{self.port}"

    @classmethod
    def find(cls):
        return Path(sys.executable)

    @classmethod
    def answers(cls, host, port):
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0

    def command(self):
        return [sys.executable, "-c", textwrap.dedent(self.program), str(self.port), self.state.password]

    def environment(self):
        return dict(os.environ)


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state folder of this test's own, and no address in the environment."""
    monkeypatch.setenv("EDAKIT_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("EDAKIT_RABBITMQ", raising=False)
    monkeypatch.delenv("EDAKIT_KAFKA", raising=False)


@pytest.fixture
def fake(state, monkeypatch):
    """Make `fake` a broker that can be started; whatever a test leaves is ended."""
    monkeypatch.setitem(KINDS, "fake", Fake)
    yield Fake
    down("fake", erase=True)


@pytest.fixture
def nothing_installed(state, monkeypatch):
    """A machine on which neither broker is."""
    for variable in ("PATH", "EDAKIT_KAFKA_CLASSPATH", "KAFKA_HOME"):
        monkeypatch.setenv(variable, "")
    for name, kind in list(KINDS.items()):
        monkeypatch.setitem(KINDS, name, type(kind.__name__, (kind,), {"usual": ()}))


def state_of(name):
    return next(row[1] for row in status().rows if row[0] == KINDS[name].name)


# What is said where nothing is here


@pytest.mark.parametrize("name", ["rabbitmq", "kafka"])
def test_where_no_broker_is_found_one_sentence_says_what_to_install(nothing_installed, name, capsys):
    assert cli.main(["brokers", "up", name]) == 1

    said = capsys.readouterr().err
    assert said.startswith(f"edakit brokers: {KINDS[name].name} is not on this machine; ")
    assert said.count("\n") == 1
    assert EXAMPLES[KINDS[name].name] in said


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows", "FreeBSD"])
@pytest.mark.parametrize("broker", ["RabbitMQ", "Kafka"])
def test_what_to_install_depends_on_the_system(broker, system):
    assert INSTALL[broker].get(system, INSTALL[broker][""]) in str(BrokerNotFoundError(broker, system=system))


def test_kafka_without_java_says_that_java_is_missing():
    said = str(BrokerNotFoundError("Kafka", "Java", "Linux"))

    assert said.startswith("Kafka is here, but Java is not; install Java 17 or newer (Debian, Ubuntu: sudo apt install default-jre-headless")


def test_the_errors_survive_pickling():
    for error in (BrokerNotFoundError("Kafka", "Java", "Linux"), BrokerNotRunningError("Kafka"), BrokerStartError("Kafka", "ended", "why")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_address_that_nobody_has_is_an_error_that_says_how_to_get_one(state):
    with pytest.raises(BrokerNotRunningError, match="edakit brokers up kafka"):
        url("kafka")


def test_a_broker_that_is_not_known_is_refused(state):
    with pytest.raises(InvalidValueError, match="rabbitmq or kafka"):
        up("redis")


def test_a_test_that_needs_an_absent_broker_skips_with_a_reason_and_fails_where_it_is_required(nothing_installed, monkeypatch):
    monkeypatch.setenv("EDAKIT_REQUIRE", "chromium,kafka")

    with pytest.raises(pytest.skip.Exception, match="RabbitMQ is not on this machine"):
        require_installed("rabbitmq")
    with pytest.raises(pytest.fail.Exception, match="EDAKIT_REQUIRE names kafka"):
        require_installed("kafka")


# Addresses


def test_an_address_in_the_environment_comes_first_and_nothing_is_started(state, monkeypatch):
    monkeypatch.setenv("EDAKIT_KAFKA", "kafka://broker.example:9092")

    with running("kafka") as given:
        assert given == url("kafka") == "kafka://broker.example:9092"
    assert up("kafka") is None
    assert list((state_folder()).iterdir()) == []


@pytest.mark.parametrize("address", ["redis://me:geheim-77@h", "amqp://", "amqp://me:geheim-77@h:port", "me:geheim-77@h", "amqp//me:geheim-77@h"])
def test_an_address_that_is_none_is_refused_without_its_password(address):
    with pytest.raises(BrokerURLError, match="EDAKIT_RABBITMQ must be like amqp://host:port or amqps://host:port") as error:
        from_environment("rabbitmq", {"EDAKIT_RABBITMQ": address})

    assert "geheim-77" not in str(error.value)


def test_status_shows_an_address_of_the_environment_without_its_password(state, monkeypatch, capsys):
    [port] = free_ports(1)
    monkeypatch.setenv("EDAKIT_RABBITMQ", f"amqp://me:geheim-77@{HOST}:{port}/shop?password=geheim-77")

    assert cli.main(["brokers", "status"]) == 0
    assert cli.main(["brokers", "up", "rabbitmq"]) == 0

    said = capsys.readouterr().out
    assert "does not answer ($EDAKIT_RABBITMQ)" in said
    assert said.count(f"amqp://me:***@{HOST}:{port}/shop") == 2
    assert "geheim" not in said


@given(password=st.text(min_size=1), user=st.from_regex(r"[a-z]{0,3}", fullmatch=True))
def test_no_password_passes_redaction(password, user):
    shown = redacted(f"amqp://{user}:<{password}>@10.0.0.1:5672/")

    assert shown == f"amqp://{user}:***@10.0.0.1:5672/"


@pytest.mark.parametrize("address", ["kafka://127.0.0.1:9092", "amqp://me@h/%2F", "fake", ""])
def test_an_address_without_password_stays_as_it_is(address):
    assert redacted(address) == address


# Where servers are looked for


def scripts(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / (name + (".bat" if sys.platform == "win32" else ""))).touch()
    return folder


def test_debians_wrapper_on_the_path_is_passed_over_for_the_scripts_themselves(tmp_path):
    wrapper = scripts(tmp_path / "sbin", "rabbitmq-server")
    real = scripts(tmp_path / "lib" / "rabbitmq_server-3.10.8" / "sbin", "rabbitmq-server", "rabbitmq-env")

    assert find_scripts(str(wrapper), [f"{tmp_path}/lib/rabbitmq_server-*/sbin"]) == real
    assert find_scripts(str(wrapper), []) is None


def test_scripts_on_the_path_come_before_those_in_the_usual_places(tmp_path):
    mine = scripts(tmp_path / "mine", "rabbitmq-server", "rabbitmq-env")
    usual = scripts(tmp_path / "usual", "rabbitmq-server", "rabbitmq-env")

    assert find_scripts(str(mine), [str(usual)]) == mine.resolve()


def jars(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_kafka_is_a_class_path_or_a_folder_of_jars_or_kafka_home_or_a_usual_place(tmp_path):
    mine = jars(tmp_path / "mine", "kafka-clients-4.4.0.jar", "kafka_2.13-4.4.0.jar")
    home = jars(tmp_path / "home" / "libs", "kafka_2.13-4.0.0.jar")
    usual = jars(tmp_path / "usual" / "libs", "kafka_2.13-3.9.0.jar")
    places = [str(tmp_path / "usual")]
    kafka_home = {"KAFKA_HOME": str(tmp_path / "home")}

    assert class_path({"EDAKIT_KAFKA_CLASSPATH": os.pathsep.join(map(str, mine)), **kafka_home}, places) == mine
    assert class_path({"EDAKIT_KAFKA_CLASSPATH": str(tmp_path / "mine"), **kafka_home}, places) == mine
    assert class_path({"EDAKIT_KAFKA_CLASSPATH": f"{tmp_path / 'mine'}{os.sep}*"}, []) == mine
    assert class_path(kafka_home, places) == home
    assert class_path({}, places) == usual
    assert class_path({}, []) == []


def test_jars_are_found_from_the_current_folder_also_by_the_server_which_runs_in_another(tmp_path, monkeypatch):
    mine = jars(tmp_path / "mine", "kafka_2.13-4.4.0.jar")
    monkeypatch.chdir(tmp_path)

    assert class_path({"EDAKIT_KAFKA_CLASSPATH": "mine"}, []) == class_path({"EDAKIT_KAFKA_CLASSPATH": f"mine{os.sep}{mine[0].name}"}, []) == mine


def test_jars_without_kafkas_server_are_no_kafka(tmp_path):
    jars(tmp_path, "kafka-clients-4.4.0.jar")

    assert class_path({"EDAKIT_KAFKA_CLASSPATH": str(tmp_path)}, []) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs the execute bit")
def test_java_of_java_home_comes_before_the_one_on_the_path(tmp_path):
    for place in ("home/bin", "path"):
        [java] = jars(tmp_path / place, "java")
        java.chmod(0o755)
    environ = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}

    assert find_java(environ, []) == str(tmp_path / "home" / "bin" / "java")
    assert find_java({**environ, "JAVA_HOME": str(tmp_path / "nowhere")}, []) == str(tmp_path / "path" / "java")
    assert find_java({"PATH": ""}, []) is None


def test_a_free_port_is_none_that_an_outgoing_connection_can_be_given():
    ports = free_ports(5)

    assert len(set(ports)) == 5
    assert set(ports) <= set(PORTS)
    if sys.platform == "linux":
        first, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
        assert max(PORTS) < int(first)


# A node's life


def test_started_twice_is_the_one_that_runs(fake):
    first, second = up("fake"), up("fake")

    assert (first.state.pid, first.url) == (second.state.pid, second.url)
    with running("fake") as given:
        assert given == first.url


def test_two_who_start_it_at_once_get_the_same_one(fake):
    with ThreadPoolExecutor() as pool:
        pids = {node.state.pid for node in pool.map(up, ["fake"] * 4)}

    assert len(pids) == 1


def test_a_private_node_is_another_one_and_goes_with_its_block(fake):
    shared = up("fake")

    with running("fake", private=True) as given:
        [folder] = (state_folder() / "temporary").iterdir()
        assert given != shared.url
        assert len(marked(str(folder.resolve()))) == 2

    assert not folder.exists()
    assert marked(str(folder.resolve())) == []
    assert shared.alive


def test_down_ends_all_processes_and_leaves_the_data(fake):
    node = up("fake")
    (node.folder / "data").touch()
    assert len(marked(node.mark)) == 2

    assert down("fake")

    assert marked(node.mark) == []
    assert not Fake.answers(HOST, node.port)
    assert (node.folder / "data").exists()
    assert not down("fake")


def test_down_can_remove_the_data_too(fake):
    node = up("fake")

    down("fake", erase=True)

    assert not node.folder.exists()


def test_it_comes_back_at_the_same_address_with_the_same_password(fake):
    before = up("fake").url
    down("fake")

    assert up("fake").url == before


def test_it_comes_back_elsewhere_where_another_program_has_taken_its_port(fake):
    before = up("fake")
    down("fake")

    with socket.create_server((HOST, before.port)):
        assert up("fake").port != before.port


def test_a_killed_server_is_noticed_and_what_it_left_is_ended(fake):
    node = up("fake")
    psutil.Process(node.state.pid).kill()
    psutil.Process(node.state.pid).wait()
    assert len(marked(node.mark)) == 1

    assert state_of("fake") == f"has gone: process {node.state.pid} ended without `edakit brokers down`; cleaned up"

    assert marked(node.mark) == []
    assert state_of("fake") == "stopped; `edakit brokers up fake` starts it"


def test_another_program_with_the_old_process_number_is_not_taken_for_the_server(fake):
    node = up("fake")
    down("fake")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        node._write(other.pid)  # as after a restart of the machine

        assert not Fake(shared_folder("fake")).alive
        assert state_of("fake").startswith(f"has gone: process {other.pid}")
        assert not down("fake")
        assert other.poll() is None
        other.kill()


def test_a_state_file_that_cannot_be_read_does_not_hide_the_server(fake):
    old = up("fake")
    (old.folder / "node.json").write_text("{", encoding="utf-8")

    new = up("fake")

    assert new.state.pid != old.state.pid
    assert not lives(old.state.pid, old.mark)
    assert len(marked(new.mark)) == 2


class WithProcess0(psutil.Process):
    """A process of macOS or Windows, where one has the number 0, and nobody can wait for it."""

    def __init__(self, pid=None):
        if pid == 0:
            self._pid = pid
        else:
            super().__init__(pid)


def test_a_node_that_is_stopped_can_be_erased_where_there_is_a_process_0(fake, monkeypatch):
    monkeypatch.setattr(psutil, "Process", WithProcess0)

    with start("fake") as node:
        assert node.alive

    assert not node.folder.exists()


def test_kill_and_restart_keep_port_and_data(fake):
    with start("fake") as node:
        first, port = node.state.pid, node.port
        (node.folder / "data").touch()

        node.restart(kill=True)
        second = node.state.pid
        node.restart()

        assert len({first, second, node.state.pid}) == 3
        assert node.port == port
        assert (node.folder / "data").exists()
        assert not lives(first, node.mark)


def test_settings_know_the_ports_that_they_ask_for(fake):
    with start("fake", settings={"listeners": "{fake},{tls}"}, ports=["tls"]) as node:
        assert node.settings() == {"listeners": f"{node.port},{node.state.ports['tls']}"}
        assert len(set(node.state.ports.values())) == 3


def test_a_server_that_ends_while_it_starts_is_quoted_without_the_password(fake, monkeypatch):
    class Broken(Fake):
        program = "import sys; sys.exit(f'the disk is full, {sys.argv[2]}')"

    monkeypatch.setitem(KINDS, "fake", Broken)
    with pytest.raises(BrokerStartError, match=r"Fake ended while it started.*\nthe disk is full, \*\*\*$"):
        start("fake")

    assert list((state_folder() / "temporary").iterdir()) == []


def test_a_server_that_does_not_answer_in_time_is_ended(fake, monkeypatch):
    class Mute(Fake):
        program = "import time; time.sleep(600)"
        patience = 0.3

    monkeypatch.setitem(KINDS, "fake", Mute)
    with pytest.raises(BrokerStartError, match=r"did not answer within 0\.3 s"):
        up("fake")

    assert marked(str(shared_folder("fake").resolve())) == []


def test_a_process_that_dies_and_shows_its_mark_no_more_is_waited_for(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as server:
        found = [[psutil.Process(server.pid)]]
        monkeypatch.setattr(processes, "marked", lambda mark: found.pop() if found else [])
        end, pending = psutil.Process.kill, [None] * 3
        monkeypatch.setattr(psutil.Process, "kill", lambda process: pending.pop() if pending else end(process))
        kill("a mark")
        left = psutil.pid_exists(server.pid)
        server.kill()

    assert not left


def test_what_a_killed_program_has_started_is_ended_by_the_next_one(fake):
    code = """
        import time
        import tests.test_brokers as here
        here.KINDS["fake"] = here.Fake
        node = here.start("fake")
        print(node.folder, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        folder = Path(owner.stdout.readline().strip())
        status()
        while_owned = len(marked(str(folder)))
        owner.kill()
    assert while_owned == 2

    status()

    assert marked(str(folder)) == []
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_only_its_owner_can_read_the_password(fake):
    node = up("fake")

    assert node.folder.stat().st_mode & 0o077 == 0
    assert (node.folder / "node.json").stat().st_mode & 0o077 == 0


def test_the_command_shows_the_password_only_where_the_address_is_asked_for(fake, capsys):
    assert [cli.main(["brokers", *words]) for words in (["up", "fake"], ["status"], ["down", "fake"])] == [0, 0, 0]
    shown = capsys.readouterr().out
    node = up("fake")
    cli.main(["brokers", "url", "fake"])

    assert "fake://edakit:***@127.0.0.1:" in shown
    assert node.state.password not in shown + repr(node)
    assert capsys.readouterr().out == f"{node.url}\n"


# Docker


def test_containers_are_reachable_from_this_machine_only_at_the_addresses_that_are_told():
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]

    assert services.keys() == {"rabbitmq", "kafka"}
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])
    assert all(f"export {example}\n" in text for example in EXAMPLES.values())
