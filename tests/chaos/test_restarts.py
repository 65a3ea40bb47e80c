"""CHECKS R3, and R5 for brokers that are dead or blocked: a real server is killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edakit import App, Bus
from edakit.errors import BrokerError, UncertainError
from edakit.transports import rabbitmq_publisher
from tests.chaos.record import FULL, tell
from tests.chaos.under_load import UnderLoad
from tests.conformance.helpers import added
from tests.shop_language import recorder

SERVER = {"amqp": "rabbitmq", "kafka": "kafka"}
RECOVERY = {"amqp": 10, "kafka": 20}
"""So long after the port answers both sides work again [s]."""


def address_of(nodes, broker, name):
    """Return the node of a broker that may be ill-treated, and an address there."""
    node = nodes(SERVER[broker])
    return node, f"{node.url}?namespace={name}{'&session=1' if broker == 'kafka' else ''}"


@pytest.mark.on("amqp", "kafka")
def test_r3_a_broker_that_is_restarted_loses_nothing_and_both_sides_work_again(broker, nodes, together, tmp_path_factory):
    def restart(prepared, broker):
        node, url, folder = prepared
        with UnderLoad(url, folder) as load:
            took = []
            for number in range(5 if FULL else 2):
                for _ in range(2):  # once more where it took too long: the machine may have been busy
                    node.restart(kill=number % 2 == 1)  # not the first time: see the next check
                    recovery = load.recovery()
                    time.sleep(1)
                    if recovery < RECOVERY[broker]:
                        break
                took.append(recovery)
        return load, max(took)

    # Two threads must not be the first to ask for a folder.
    load, recovery = together(lambda broker: (*address_of(nodes, broker, "r3"), tmp_path_factory.mktemp(broker)), restart)
    found = load.told(f"R3 {broker}", recovery_s=round(recovery, 2))
    assert (found["lost"], found["double_applied"]) == (0, 0)
    assert recovery < RECOVERY[broker]


def told(use):
    """Return what a broker that is dead is said to be, and how long that took [s]."""
    begin = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        use()
    return str(caught.value), time.monotonic() - begin


@pytest.mark.on("amqp", "kafka")
def test_r5_a_dead_broker_is_told_by_every_call_in_fifteen_seconds_and_nothing_is_lost(broker, nodes, together):
    def die(prepared, broker):
        node, url = prepared
        (mail, seen), (other, _) = recorder("mail"), recorder("mail")
        app, closing = App(mail, broker=url), App(other, broker=url)
        closing.bus.link  # noqa: B018 (opened before the end)
        app.publish(added(1, "before"))
        # A queue that is a second old when RabbitMQ 3.10 is killed may never find its leader again (rabbitmq-server#10070).
        (node.stop if broker == "amqp" else node.kill)()
        calls = (
            lambda: app.publish(added(2, "while")),
            lambda: app.publish_many([added(3, "while")]),
            lambda: app.backlog("mail"),
            lambda: Bus(url),
            closing.close,
        )
        with ThreadPoolExecutor(len(calls)) as threads:
            answers = list(threads.map(told, calls))
        node.start()
        app.publish(added(4, "after"))
        app.run_until_idle()
        app.close()
        return answers, [event.cart_id for event in seen]

    answers, seen = together(lambda broker: address_of(nodes, broker, "dead"), die)
    tell(f"R5 {broker}, dead broker", attempt=len(answers), failed=len(answers), told_s=round(max(took for _, took in answers), 1))
    assert max(took for _, took in answers) < 15
    assert all("does not answer" in said or "did not answer within" in said or "publish it again" in said for said, _ in answers), answers
    assert {"before", "after"} <= set(seen) <= {"before", "while", "after"}


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process cannot be stopped here and go on later")
@pytest.mark.on("amqp", "kafka")
def test_r5_a_frozen_broker_is_left_in_fifteen_seconds(broker, nodes, together):
    def freeze(prepared, broker):
        node, url = prepared
        app = App(*(recorder(f"mail{number}")[0] for number in range(3)), broker=url).start()
        app.publish(added(1))
        app.wait_until_idle(30)
        os.kill(node.state.pid, signal.SIGSTOP)
        try:
            return told(app.close)[1]
        finally:
            os.kill(node.state.pid, signal.SIGCONT)

    took = together(lambda broker: address_of(nodes, broker, "frozen"), freeze)
    tell(f"R5 {broker}, frozen broker", attempt=1, failed=1, told_s=round(took, 1))
    assert took < 15


@pytest.mark.on("amqp")
def test_r5_a_blocked_broker_is_told_in_fifteen_seconds_and_takes_messages_again(broker, nodes, monkeypatch):
    node, url = address_of(nodes, broker, "blocked")
    app = App(recorder("mail")[0], broker=url)
    app.publish(added(0))
    node.control("set_vm_memory_high_watermark", "0.000001")
    try:
        begin = time.monotonic()
        with pytest.raises(UncertainError, match="memory or disk"):
            app.publish(added(1))
        took = time.monotonic() - begin
        monkeypatch.setattr(rabbitmq_publisher, "TRYING", 1.0)
        with pytest.raises(BrokerError, match="memory or disk"):
            app.publish(added(2))
    finally:
        node.control("set_vm_memory_high_watermark", "0.6")
    app.publish(added(3))
    app.close()

    tell(f"R5 {broker}, blocked broker", attempt=4, failed=2, told_s=round(took, 1))
    assert took < 15
