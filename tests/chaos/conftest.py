"""The brokers that are put under faults, each with an address that nobody else uses, and where the records of the checks are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from edakit import App
from edakit.brokers import start
from edakit.capabilities import BROKERS
from tests.chaos import table
from tests.chaos.cart_process import Effects
from tests.chaos.record import FULL, TOLD
from tests.real_brokers import SETTINGS, UNDER_TEST, address, require_installed

LEASE = {"sqlite": 5, "kafka": 6, "amqp": None, "memory": None}
"""After which what a dead process had is free again [s], where that can be chosen; longer than a busy machine forgets a process that lives."""

ILL_TREATED = {
    "rabbitmq": ({}, ()),
    "kafka": (
        {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:ann",
            "listeners": "PLAINTEXT://127.0.0.1:{kafka},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": "PLAINTEXT://127.0.0.1:{kafka},SASL_PLAINTEXT://127.0.0.1:{sasl}",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=full-rights user_bob=hardly-any user_carl=may-read;"
            ),
        },
        ("sasl",),
    ),
}
"""Settings and further ports of a broker of these tests' own; on Kafka ann may do everything, bob nothing, carl what a test allows."""


def pytest_configure(config):
    if FULL and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Keeper())
    config.addinivalue_line("markers", "needs(capability, …): run a check on the brokers that have these capabilities")
    config.addinivalue_line("markers", "on(broker, …): run a check on these brokers, of which `virtual` is memory:// in virtual time")


def pytest_generate_tests(metafunc):
    """Run each check on every broker that can do what it needs, as edakit.capabilities says; with an app of the check's own also in virtual time."""
    named_there = any("broker" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "broker" in metafunc.fixturenames and not named_there:
        metafunc.parametrize("broker", _brokers(metafunc), scope="function")


def _brokers(metafunc):
    if named := metafunc.definition.get_closest_marker("on"):
        return named.args
    needs = [need for mark in metafunc.definition.iter_markers("needs") for need in mark.args]
    names = [name for name in UNDER_TEST if all(getattr(BROKERS[name], need) for need in needs)]
    return ["virtual", *names] if "make_app" in metafunc.fixturenames and "memory" in names else names


@pytest.fixture
def url(broker, request, tmp_path):
    """An address of one broker, with nothing on it."""
    if broker == "virtual":
        return "memory://"  # private: apps that share a broker by its name would share its clock too
    return address(broker, request.getfixturevalue, tmp_path, lease=LEASE[broker])


@pytest.fixture
def can(broker):
    """What the broker can do, as the table says."""
    return BROKERS["memory" if broker == "virtual" else broker]


@pytest.fixture
def make_app(broker, url):
    """Make apps on one broker, in virtual time or not; they are closed at the end."""
    made = []

    def make(*components, **options):
        made.append(App(*components, broker=url, clock="virtual" if broker == "virtual" else "wall", **options))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def effects(tmp_path):
    """What handlers did, in a database that several processes share."""
    kept = Effects(str(tmp_path / "effects.db"))
    yield kept
    kept.connection.close()


@pytest.fixture(scope="package")
def nodes():
    """Give a node by its name that these checks may kill, restart and forbid something; it runs when it is given."""
    started = {}

    def give(name):
        require_installed(name)
        settings, ports = ILL_TREATED[name]
        if name not in started:
            started[name] = start(name, settings=SETTINGS[name] | settings, ports=ports)
        started[name].start()
        return started[name]

    yield give
    for node in started.values():
        node.erase()


@pytest.fixture
def together(request, runs):
    """Return the outcome of *work* for this test's parameters; it runs for those of all selected tests of this name at once, each in a thread.

    For checks that wait more than they work. What *prepare* returns for the parameters, in this thread, is what *work* gets first.
    """

    def outcome(prepare, work):
        node = request.node
        if node.originalname not in runs.begun:
            same = [item.callspec for item in request.session.items if (item.path, getattr(item, "originalname", None)) == (node.path, node.originalname)]
            prepared = [(each, prepare(**each.params)) for each in same]
            runs.begun[node.originalname] = {each.id: runs.submit(work, given, **each.params) for each, given in prepared}
        return runs.begun[node.originalname][node.callspec.id].result()

    return outcome


@pytest.fixture(scope="module")
def runs():
    """Threads that tests share, and what runs in them."""
    with ThreadPoolExecutor(max_workers=8) as threads:
        threads.begun = {}
        yield threads


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Hand on with its report what a check told."""
    report = yield
    if report.when == "call":
        report.user_properties.append(("told", list(TOLD)))
        TOLD.clear()
    return report


class Keeper:
    """Keeps what checks told that have passed; one process does, however many run them."""

    def pytest_runtest_logreport(self, report):
        told = [each for name, told in report.user_properties if name == "told" for each in told]
        if told and report.when == "call" and report.passed:
            table.keep(told)
