"""CHECK R4 on RabbitMQ: a proxy cuts the line, delays and slices what goes over it, and falls silent."""

from __future__ import annotations

import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from edakit.faults_proxy import Proxy
from edakit.transports import rabbitmq_publisher
from edakit.transports.rabbitmq_publisher import Publisher
from tests.chaos.under_load import UnderLoad
from tests.conformance.helpers import until
from tests.real_brokers import address

pytestmark = pytest.mark.on("amqp")


@contextmanager
def through_a_proxy(url):
    """Yield a proxy and the address that leads through it."""
    parts = urlsplit(url)
    with Proxy(parts.hostname, parts.port) as proxy:
        yield proxy, url.replace(f":{parts.port}", f":{proxy.port}")


def cut(proxy, load):
    """Cut ten times, each time what was connected again; return nothing else to tell."""
    for _ in range(10):
        cut_and_await(proxy, 0.3)
    return {}


def cut_and_await(proxy, seconds):
    """Cut, and go on when somebody has connected again and *seconds* are over [s]."""
    before = proxy.accepted
    proxy.cut()
    time.sleep(seconds)
    until(lambda: proxy.accepted > before)


def delay(proxy, load):
    """Let everything come two seconds late, for six."""
    proxy.delay = 2.0
    time.sleep(6)
    return {}


def cut_into_bytes(proxy, load):
    """Let every byte go alone, for two seconds."""
    proxy.slice = 1
    time.sleep(2)
    return {}


def fall_silent(proxy, load):
    """Pass nothing on until both sides have noticed; return when they did [s]."""
    stock, begin, before, noticed = load.app._running.servers["carts"].subscription.stock, time.monotonic(), proxy.accepted, []
    proxy.fall_silent()
    for condition, seconds in ((lambda: proxy.accepted > before, 15), (lambda: stock.epoch > 1, 35)):
        until(condition, seconds)
        noticed.append(round(time.monotonic() - begin, 1))
    return {"noticed_s": noticed}


HARMS = {"cut": cut, "delay": delay, "slice": cut_into_bytes, "half-open": fall_silent}


@pytest.mark.parametrize("harm", HARMS)
def test_r4_a_bad_line_loses_nothing(broker, harm, together, request, tmp_path_factory):
    def prepare(broker, harm):
        folder = tmp_path_factory.mktemp(harm)
        return folder, address(broker, request.getfixturevalue, folder)

    def on_a_bad_line(prepared, broker, harm):
        folder, url = prepared
        with through_a_proxy(url) as (proxy, bad), UnderLoad(bad, folder, rate=100 if harm == "slice" else 500) as load:
            more = HARMS[harm](proxy, load)
            proxy.heal()
            return load, {**more, "recovery_s": round(load.recovery(), 2), "connections": proxy.accepted}

    load, more = together(prepare, on_a_bad_line)
    found = load.told(f"R4 {broker}, {harm}", **more)
    assert (found["lost"], found["double_applied"]) == (0, 0)
    assert (found["connections"] > 10) == (harm == "cut")
    if harm == "half-open":
        publisher, subscription = found["noticed_s"]
        assert publisher < 15, "the publisher waits no longer for a confirm"
        assert subscription < 30, "the subscription misses two heartbeats"


def test_r4_finds_it_when_what_was_in_flight_is_not_sent_again(broker, url, tmp_path, monkeypatch):
    def forget(self, parcel, deadline):
        parcel.outcome = rabbitmq_publisher.TAKEN

    monkeypatch.setattr(Publisher, "_again", forget)
    with through_a_proxy(url) as (proxy, address), UnderLoad(address, tmp_path, rate=2000) as load:
        for _ in range(20):
            cut_and_await(proxy, 0.1)
        load.recovery()

    assert load.told(f"R4 {broker}, nothing sent again")["lost"] > 0
