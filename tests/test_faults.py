from __future__ import annotations

import pytest

from edakit import App, Component, Constant, CrashPoint, Faults, Inbox
from edakit.bus import EXCHANGE
from edakit.errors import InvalidValueError
from tests.shop_language import AddItem, CartItemAdded, cart_component, recorder


@pytest.mark.parametrize("point", ["received", "started", "handled"])
def test_a_worker_that_dies_before_the_ack_gets_its_event_again(point):
    mail, mailed = recorder("mail")
    other, others = recorder("other")
    app = App(mail, other, clock="virtual", faults=Faults(CrashPoint("mail", point), restart_after=2))
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert [row.outcome for row in app.trace.deliveries if row.component == "mail"] == ["crashed", "handled"]
    assert len(mailed) == (2 if point == "handled" else 1)
    assert len(others) == 1, "its neighbour notices nothing"
    assert app.now_ns == 2_000_000_000


def test_a_worker_that_dies_after_the_ack_repeats_nothing():
    mail, mailed = recorder("mail")
    app = App(mail, clock="virtual", faults=Faults(CrashPoint("mail", "acked"), restart_after=2))
    app.publish_many([CartItemAdded(cart_id="1"), CartItemAdded(cart_id="2")])
    app.run_until_idle()

    assert [event.cart_id for event in mailed] == ["1", "2"]
    assert app.trace.deliveries[-1].started_at == 2_000_000_000, "the worker was gone for two seconds"


def test_a_crash_before_the_ack_never_loses_a_consequence():
    mail, mailed = recorder("mail")
    app = App(cart_component(), mail, clock="virtual", faults=Faults(CrashPoint("cart", "handled")))
    app.send(AddItem(cart_id="c-1"))
    app.run_until_idle()

    assert len(mailed) == 2, "at least once: the work is repeated"


def test_an_inbox_makes_it_once_for_its_component():
    mail, mailed = recorder("mail", inbox=Inbox())
    app = App(mail, clock="virtual", seed=3, faults=Faults(CrashPoint("mail", "handled", nth=0, share=0.3), duplicate=0.5))
    for number in range(200):
        app.publish(CartItemAdded(cart_id=str(number)))
    app.run_until_idle()

    assert sorted(int(event.cart_id) for event in mailed) == list(range(200))


def test_at_most_once_loses_what_a_crash_interrupts():
    mail, mailed = recorder("mail", ack="before")
    app = App(mail, clock="virtual", faults=Faults(CrashPoint("mail", "started")))
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert mailed == []
    assert [row.outcome for row in app.trace.deliveries] == ["crashed"]


def test_delays_reorder_and_duplicates_repeat_but_nothing_is_lost():
    mail, mailed = recorder("mail")
    app = App(mail, clock="virtual", seed=1, faults=Faults(duplicate=0.2, delayed=0.3, delay=Constant(0.5)))
    for number in range(100):
        app.publish(CartItemAdded(cart_id=f"{number:03}"))
    app.run_until_idle()

    carts = [event.cart_id for event in mailed]
    assert len(carts) > 100
    assert len(set(carts)) == 100
    assert carts != sorted(carts)


def test_faults_can_be_kept_to_some_components():
    mail, mailed = recorder("mail")
    stock, stocked = recorder("stock")
    app = App(mail, stock, clock="virtual", faults=Faults(duplicate=1.0, components=frozenset({"mail"})))
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert (len(mailed), len(stocked)) == (2, 1)


def test_a_crash_in_the_background_gives_the_event_back():
    mail, mailed = recorder("mail")
    with App(mail, faults=Faults(CrashPoint("mail", "handled"), restart_after=0.01)) as app:
        app.publish(CartItemAdded(cart_id="c-1"))
        app.wait_until_idle(60)

    assert len(mailed) == 2


@pytest.mark.parametrize("make", [
    lambda: CrashPoint("mail", "published"), lambda: CrashPoint("mail", "handled", nth=-1), lambda: CrashPoint("mail", "handled", nth=0, share=2),
    lambda: CrashPoint("mail", "handled", share=0.2),
    lambda: Faults(duplicate=1.5), lambda: Faults(delayed=0.5), lambda: Faults(delay=Constant(1)), lambda: Faults(restart_after=-1),
])  # fmt: skip
def test_a_fault_that_makes_no_sense_is_refused(make):
    with pytest.raises(InvalidValueError):
        make()


def test_an_inbox_remembers_the_newest_ids():
    inbox = Inbox(size=2)
    for event_id in "abc":
        inbox.add(event_id)

    assert ["a" in inbox, "b" in inbox, "c" in inbox] == [False, True, True]
    with pytest.raises(InvalidValueError):
        Inbox(size=0)


def test_a_component_in_the_dark_keeps_its_order_per_key_over_a_crash():
    component, done = Component("stock", order="per key"), []
    component.on(CartItemAdded)(lambda event, context: done.append(event.product_id))
    app = App(component, clock="virtual", faults=Faults(CrashPoint("stock", "started")))
    for product_id in "ab":
        app.publish(CartItemAdded(cart_id="c", product_id=product_id))
    app.run_until_idle()

    assert done == ["a", "b"]


@pytest.mark.parametrize("point", ["started", "handled", "acked"])
def test_a_crash_after_an_early_ack_frees_the_key(point):
    component, done = Component("stock", order="per key", ack="before"), []
    component.on(CartItemAdded)(lambda event, context: done.append(event.product_id))
    app = App(component, clock="virtual", faults=Faults(CrashPoint("stock", point)))
    for product_id in "abc":
        app.publish(CartItemAdded(cart_id="c", product_id=product_id))
    app.run_until_idle()

    assert done[-2:] == ["b", "c"]
    assert app.bus.outstanding("stock") == 0


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_a_worker_that_dies_over_a_malformed_message_takes_nobody_along(clock):
    mail, mailed = recorder("mail")
    app = App(mail, clock=clock, faults=Faults(CrashPoint("mail", "acked"), restart_after=0.01))
    channel = app.bus.connect().channel()
    channel.basic_publish(channel.prepare_message(b"{", None, "application/json", "utf-8", {}, None), EXCHANGE, "cart.item.added")
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle(on_error="retry")

    assert len(mailed) == 1
    assert [row.outcome for row in app.trace.deliveries] == ["dead", "crashed", "handled"]
