from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
import weakref

import pytest

from edakit import App, Backoff, Bus, Component, Constant, DatabaseInbox, DeadLetter, Faults, Inbox
from edakit.bus import EXCHANGE
from edakit.delivery import Postpone
from edakit.errors import (
    ClosedError,
    DecodeError,
    EventValueError,
    HandlerConflictError,
    HandlerCountError,
    InboxError,
    InvalidValueError,
    QueueFullError,
    UnknownComponentError,
    UnroutableEventError,
    VirtualTimeError,
    WaitTimeoutError,
)
from edakit.transports.link import POLICIES
from tests.shop_language import AddItem, CartItemAdded, OrderPlaced, cart_component, recorder


def test_a_command_becomes_an_event_that_every_subscriber_gets_once():
    mail, mailed = recorder("mail")
    stock, stocked = recorder("stock")
    app = App(cart_component(), mail, stock)

    app.send(AddItem(cart_id="c-1", product_id="7", quantity=3))
    assert app.run_until_idle() == 3

    assert mailed == stocked == [CartItemAdded(cart_id="c-1", product_id="7", quantity=3)]


def test_the_publisher_does_not_wait_for_the_handlers():
    mail, mailed = recorder("mail")
    app = App(mail)

    app.publish(CartItemAdded(cart_id="c-1"))

    assert mailed == []
    assert app.backlog("mail") == 1


def test_a_component_that_subscribes_later_gets_only_what_comes_after():
    late, seen = recorder("late")
    app = App()
    app.publish(CartItemAdded(cart_id="before"))
    app.add(late)
    app.publish(CartItemAdded(cart_id="after"))
    app.run_until_idle()

    assert [event.cart_id for event in seen] == ["after"]


def test_a_paused_component_catches_up():
    mail, mailed = recorder("mail")
    app = App(mail, clock="virtual")
    app.pause("mail")
    assert app.paused == {"mail"}
    for number in range(5):
        app.publish(CartItemAdded(cart_id=f"c-{number}"))
        app.advance(seconds=1)
    assert mailed == []

    app.resume("mail")
    app.run_until_idle()

    assert len(mailed) == 5
    assert [row.done_at for row in app.trace.deliveries] == [5_000_000_000] * 5


def test_events_are_handled_in_the_order_of_publication_across_components():
    order = []
    one, two = Component("one"), Component("two")
    one.on(CartItemAdded)(lambda event, context: order.append(("one", event.cart_id)))
    two.on(OrderPlaced)(lambda event, context: order.append(("two", event.order_id)))
    app = App(one, two)

    app.publish_many([CartItemAdded(cart_id="1"), OrderPlaced(order_id="2"), CartItemAdded(cart_id="3")])
    app.run_until_idle()

    assert order == [("one", "1"), ("two", "2"), ("one", "3")]


def test_an_event_without_handlers_is_counted_and_must_route_raises():
    app = App(recorder("mail")[0])

    assert app.publish(OrderPlaced(order_id="o-1")).queues == 0
    with pytest.raises(UnroutableEventError, match=r"'order.placed' \(bound: 'cart.item.added'\)"):
        app.publish(OrderPlaced(order_id="o-1"), must_route=True)
    assert "1 of them to nobody" in app.report().says


def test_a_command_needs_exactly_one_handler():
    other = Component("other")
    other.on(AddItem)(lambda command, context: None)

    with pytest.raises(HandlerCountError, match=r"no component handles the command 'add\.item'"):
        App().send(AddItem(cart_id="c-1"))
    with pytest.raises(HandlerCountError, match=r"has 2 handlers \(cart, other\)"):
        App(cart_component(), other).send(AddItem(cart_id="c-1"))


def test_a_command_may_go_to_another_app_on_a_shared_broker():
    shop, desk = App(cart_component(), broker="memory://shared-desk"), App(broker="memory://shared-desk")
    shop.run_until_idle()

    assert desk.send(AddItem(cart_id="c-1")).queues == 1
    assert shop.run_until_idle() == 1


def test_a_different_handler_for_the_same_event_is_refused():
    component, _ = recorder("mail")

    def another(event, context):
        """Do something else."""

    with pytest.raises(HandlerConflictError, match=r"'mail' handles 'cart\.item\.added' with"):
        component.on(CartItemAdded)(another)


def test_running_a_cell_again_replaces_the_handler():
    component, calls = Component("mail"), []

    def cell(mark):
        def handle(event, context):
            calls.append(mark)

        component.on(CartItemAdded)(handle)

    app = App(component)
    for mark in ("old", "new"):
        cell(mark)
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert calls == ["new"]


def test_a_handler_must_take_an_event_and_a_context():
    with pytest.raises(InvalidValueError, match=r"two arguments, \(event, context\)"):
        Component("mail").on(CartItemAdded)(lambda event: None)


def test_a_handler_with_a_yield_is_refused_since_nothing_in_it_would_run():
    def handle(event, context):
        yield event

    async def handle_and_await(event, context):
        yield event

    for handler in (handle, handle_and_await):
        with pytest.raises(InvalidValueError, match="without yield"):
            Component("mail").on(CartItemAdded)(handler)


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_a_plain_handler_that_returns_a_coroutine_is_no_handled_event(clock):
    mail, sent = Component("mail", max_attempts=1), []

    async def send(event):
        sent.append(event)

    mail.on(CartItemAdded)(lambda event, context: send(event))
    app = App(mail, clock=clock)
    app.publish(CartItemAdded(cart_id="c"))

    with pytest.raises(InvalidValueError, match="the coroutine"):
        app.run_until_idle()
    assert len(app.dead_letters("mail")) == 1


@pytest.mark.parametrize("beside_an_async_one", [False, True])
def test_in_the_background_a_coroutine_that_nobody_awaits_is_a_dead_letter(beside_an_async_one):
    mail = Component("mail", max_attempts=1)

    async def send(event, context):
        """Do nothing."""

    mail.on(CartItemAdded)(lambda event, context: send(event, context=context))
    if beside_an_async_one:
        mail.on(OrderPlaced)(send)
    with App(mail) as app:
        app.publish(CartItemAdded(cart_id="c"))
        app.wait_until_idle(60)
        assert [dead.error.partition(":")[0] for dead in app.dead_letters()] == ["InvalidValueError"]


def test_a_handler_that_is_added_to_a_running_app_gets_events():
    component, seen = Component("mail"), threading.Event()
    with App(component) as app:
        component.on(CartItemAdded)(lambda event, context: seen.set())
        app.publish(CartItemAdded(cart_id="c-1"))
        assert seen.wait(60)


def test_an_async_handler_that_is_added_to_a_running_app_is_awaited():
    component, _ = recorder("mail", OrderPlaced)
    done = threading.Event()
    with App(component) as app:

        @component.on(CartItemAdded)
        async def later(event, context):
            await context.sleep(0)
            done.set()

        app.publish(CartItemAdded(cart_id="c-1"))
        assert done.wait(60)


def failing(name="mail", **options):
    component = Component(name, **options)

    @component.on(CartItemAdded)
    def handle(event, context):
        raise ValueError("no such template")

    return component


def test_a_handlers_exception_is_the_cells_traceback_and_its_event_is_kept():
    app = App(failing())
    app.publish(CartItemAdded(cart_id="c-1"))

    with pytest.raises(ValueError, match="no such template") as caught:
        app.run_until_idle()

    (dead,) = app.dead_letters("mail")
    assert "app.redrive('mail')" in caught.value.__notes__[0]
    assert (dead.reason, dead.error, dead.attempts) == ("failed", "ValueError: no such template", 1)
    assert dead.handler.endswith("handle")
    assert dead.line > 0


def test_an_async_handlers_exception_is_the_cells_traceback():
    component = Component("mail")

    @component.on(CartItemAdded)
    async def handle(event, context):
        raise ValueError("no such template")

    app = App(component)
    app.publish(CartItemAdded(cart_id="c-1"))

    with pytest.raises(ValueError, match="no such template"):
        app.run_until_idle()


def test_another_answer_to_an_error_than_raise_or_retry_is_refused():
    app = App(recorder("mail")[0])

    with pytest.raises(InvalidValueError, match="on_error is 'ignore'; give one of 'raise', 'retry'"):
        app.run_until_idle(on_error="ignore")


def test_a_failing_event_is_tried_again_with_growing_pauses_then_given_up_and_can_be_redriven():
    app = App(failing(max_attempts=3), clock="virtual")
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle(on_error="retry")

    rows = app.trace.deliveries
    assert [(row.attempt, row.outcome) for row in rows] == [(1, "retried"), (2, "retried"), (3, "dead")]
    assert 0 < rows[1].started_at <= 100_000_000
    assert 0 < rows[2].started_at - rows[1].done_at <= 200_000_000
    assert "ValueError: no such template (in failing.<locals>.handle, line" in repr(app.report())

    assert app.redrive("mail") == 1
    assert app.dead_letters("mail") == []
    app.run_until_idle(on_error="retry")
    assert len(app.dead_letters("mail")) == 1


def test_what_is_buried_while_an_app_is_closed_can_be_read_afterwards():
    component, begun = Component("mail", max_attempts=1), threading.Event()

    @component.on(CartItemAdded)
    def handle(event, context):
        begun.set()
        with pytest.raises(ClosedError):
            while True:  # until the app is being closed
                _ = app.bus
                time.sleep(0.001)
        raise ValueError("no such template")

    app = App(component)
    with app:
        app.publish(CartItemAdded(cart_id="1"))
        assert begun.wait(20)

    assert [dead.error for dead in app.dead_letters()] == ["ValueError: no such template"]


@pytest.mark.parametrize("when_full", POLICIES)
def test_what_is_redriven_into_a_bounded_queue_is_never_dropped_nor_drops_anything(when_full):
    app = App(failing(bound=2, when_full=when_full, max_attempts=1))
    for number in range(5):
        app.publish(CartItemAdded(cart_id=str(number)))
        app.run_until_idle(on_error="retry")
    app.publish(CartItemAdded(cart_id="new"))

    assert app.redrive("mail") == 1
    assert (app.backlog("mail"), len(app.dead_letters("mail"))) == (2, 4)
    with pytest.raises(QueueFullError):
        app.redrive("mail")
    assert (app.backlog("mail"), len(app.dead_letters("mail"))) == (2, 4)
    app.run_until_idle(on_error="retry")

    assert sorted(json.loads(dead.body)["cart_id"] for dead in app.dead_letters("mail")) == ["0", "1", "2", "3", "4", "new"]
    assert "refused" not in {row.outcome for row in app.trace.deliveries}
    app.close()
    app.close()


def test_async_handlers_wait_together_on_the_apps_clock():
    component = Component("mail", concurrency=3)

    @component.on(CartItemAdded)
    async def handle(event, context):
        await context.sleep(2)

    app = App(component, clock="virtual")
    for _ in range(4):
        app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert [(row.worker, row.done_at // 10**9) for row in app.trace.deliveries] == [(0, 2), (1, 2), (2, 2), (0, 4)]


def test_awaiting_anything_else_in_virtual_time_is_refused():
    component = Component("mail")

    @component.on(CartItemAdded)
    async def handle(event, context):
        await asyncio.sleep(0)

    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="c-1"))

    with pytest.raises(VirtualTimeError, match=r"context.sleep\(…\) only"):
        app.run_until_idle()


def test_a_handler_that_catches_what_was_refused_to_await_goes_on():
    component, done = Component("mail"), []

    @component.on(CartItemAdded)
    async def handle(event, context):
        for _ in range(2):
            with pytest.raises(VirtualTimeError):
                await asyncio.sleep(0)
        await context.sleep(1)
        done.append(app.now_ns)

    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert done == [10**9]


def test_service_times_keep_workers_busy():
    component, _ = recorder("stock", concurrency=2, takes=Constant(1))
    app = App(component, clock="virtual")
    for _ in range(3):
        app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert [(row.worker, row.started_at // 10**9, row.done_at // 10**9) for row in app.trace.deliveries] == [(0, 0, 1), (1, 0, 1), (0, 1, 2)]


def test_order_per_key_holds_the_key_back_while_one_of_it_is_retried():
    component, done, tries = Component("stock", order="per key", concurrency=4), [], []

    @component.on(CartItemAdded)
    def handle(event, context):
        tries.append(event)
        if event.product_id == "first" and context.attempt < 3:
            raise ValueError("not yet")
        done.append((event.cart_id, event.product_id))

    app = App(component, clock="virtual")
    for cart_id, product_id in [("a", "first"), ("a", "second"), ("b", "other"), ("a", "third")]:
        app.publish(CartItemAdded(cart_id=cart_id, product_id=product_id))
    app.run_until_idle(on_error="retry")

    assert done == [("b", "other"), ("a", "first"), ("a", "second"), ("a", "third")]
    assert len(tries) == 6


@pytest.mark.parametrize("prefetch", [1, 2, 100])
def test_events_held_behind_a_retried_one_leave_it_a_place(prefetch):
    component, done, in_flight = Component("stock", order="per key", prefetch=prefetch, concurrency=2), [], []

    @component.on(CartItemAdded)
    def handle(event, context):
        in_flight.append(app.bus.outstanding("stock") - app.backlog("stock"))
        if context.attempt == 1 and event.product_id == "0":
            raise ValueError("not yet")
        done.append((event.cart_id, int(event.product_id)))

    app = App(component, clock="virtual")
    for number in range(prefetch + 5):
        app.publish_many(CartItemAdded(cart_id=cart_id, product_id=str(number)) for cart_id in "ab")
    app.run_until_idle(on_error="retry")

    assert [number for cart_id, number in done if cart_id == "a"] == [number for cart_id, number in done if cart_id == "b"] == list(range(prefetch + 5))
    assert max(in_flight) <= prefetch


def test_order_per_key_holds_a_duplicate_too_while_its_event_is_to_come_back():
    component, done = Component("stock", order="per key"), []
    component.on(CartItemAdded)(lambda event, context: done.append(event.product_id))
    app, delays = App(component, clock="virtual"), [Postpone(10**9)]

    def repeat_and_postpone(name, delivery):
        if delays:
            delivery.message.duplicate()
            raise delays.pop()

    app.hooks.on("received", repeat_and_postpone)
    app.publish(CartItemAdded(cart_id="a", product_id="first"))
    app.advance(0.5)
    app.publish(CartItemAdded(cart_id="a", product_id="second"))
    app.run_until_idle()

    assert done == ["first", "first", "second"]


def test_threads_that_share_a_component_keep_its_order_per_key():
    component, done = Component("stock", order="per key", concurrency=8), []
    component.on(CartItemAdded)(lambda event, context: done.append(int(event.product_id)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with App(component) as app:
            app.publish_many(CartItemAdded(cart_id="a", product_id=str(number)) for number in range(2_000))
            app.wait_until_idle(60)
    finally:
        sys.setswitchinterval(interval)

    assert done == list(range(2_000))


def publish_raw(app, headers, body=b"{}"):
    channel = app.bus.connect().channel()
    channel.basic_publish(channel.prepare_message(body, None, "application/json", "utf-8", headers, None), EXCHANGE, "cart.item.added")


@pytest.mark.parametrize("headers", [["no", "names"], {"cloudEvents_partitionkey": []}, {"cloudEvents_partitionkey": "a"}])
def test_order_per_key_survives_headers_that_are_not_ours(headers):
    component, done = Component("stock", order="per key", takes=Constant(1), concurrency=2), []
    component.on(CartItemAdded)(lambda event, context: done.append(event.product_id))
    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="a", product_id="first"))
    publish_raw(app, headers)
    app.publish(CartItemAdded(cart_id="a", product_id="second"))
    app.run_until_idle(on_error="retry")

    assert done == ["first", "second"]
    assert [letter.reason for letter in app.dead_letters("stock")] == ["malformed"]


def test_what_waits_behind_a_malformed_message_is_not_forgotten_when_that_is_raised():
    component, done = recorder("mail", takes=Constant(1))
    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="1"))
    publish_raw(app, {})
    app.publish(CartItemAdded(cart_id="2"))
    with pytest.raises(DecodeError):
        app.run_until_idle()
    app.run_until_idle()

    assert [event.cart_id for event in done] == ["1", "2"]


def test_without_order_per_key_a_retry_is_overtaken():
    component, done = Component("stock"), []

    @component.on(CartItemAdded)
    def handle(event, context):
        if event.product_id == "first" and context.attempt == 1:
            raise ValueError("not yet")
        done.append(event.product_id)

    app = App(component, clock="virtual")
    for product_id in ("first", "second"):
        app.publish(CartItemAdded(cart_id="a", product_id=product_id))
    app.run_until_idle(on_error="retry")

    assert done == ["second", "first"]


def test_an_inbox_makes_a_repeated_delivery_harmless():
    component, seen = recorder("payment", inbox=Inbox())
    app = App(component, clock="virtual")
    app.hooks.on("received", lambda name, delivery: delivery.message.duplicate() if not seen else None)
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle()

    assert len(seen) == 1
    assert [row.outcome for row in app.trace.deliveries] == ["handled", "duplicate"]


@pytest.mark.parametrize("fails", [False, True])
def test_an_inbox_makes_a_repeated_delivery_harmless_also_while_the_first_one_is_being_handled(fails):
    component, seen = Component("payment", inbox=Inbox(), concurrency=2, takes=Constant(1)), []

    @component.on(CartItemAdded)
    def charge(event, context):
        if fails and context.attempt == 1:
            raise ValueError("not yet")
        seen.append(event.cart_id)

    app = App(component, clock="virtual", faults=Faults(duplicate=1.0))
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle(on_error="retry")

    assert seen == ["c-1"]
    assert sorted(row.outcome for row in app.trace.deliveries) == ["duplicate", "handled", *["retried"] * fails]


def test_at_most_once_acks_before_the_work():
    app = App(failing(ack="before"), clock="virtual")
    app.publish(CartItemAdded(cart_id="c-1"))
    app.run_until_idle(on_error="retry")

    assert [row.outcome for row in app.trace.deliveries] == ["dead"]


def test_a_bound_pattern_brings_types_that_nobody_knows_and_they_are_counted():
    component = Component("audit", bindings=["#"])
    app = App(component)
    app.publish(OrderPlaced(order_id="o-1"))
    app.run_until_idle()

    assert [row.outcome for row in app.trace.deliveries] == ["ignored"]


def test_what_a_full_queue_drops_is_counted():
    component, seen = recorder("mail", bound=2, when_full="drop newest")
    app = App(component, clock="virtual")
    for number in range(3):
        app.publish(CartItemAdded(cart_id=str(number)))
    app.run_until_idle()

    assert [event.cart_id for event in seen] == ["0", "1"]
    assert sorted(row.outcome for row in app.trace.deliveries) == ["handled", "handled", "refused"]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_components_run_in_the_background_until_they_are_stopped(concurrency):
    mail, mailed = recorder("mail", concurrency=concurrency)
    before = set(threading.enumerate())
    with App(cart_component(), mail) as app:
        for number in range(200):
            app.send(AddItem(cart_id=f"c-{number}"))
        app.wait_until_idle(60)

    assert sorted(event.cart_id for event in mailed) == sorted(f"c-{number}" for number in range(200))
    assert set(threading.enumerate()) <= before


def test_a_command_that_a_full_queue_drops_has_a_handler_all_the_same():
    cart = Component("cart", bound=1, when_full="drop newest")
    cart.on(AddItem)(lambda command, context: None)
    app = App(cart, clock="virtual")

    receipts = [app.send(AddItem(cart_id=str(number))) for number in range(2)]

    assert [receipt.queues for receipt in receipts] == [1, 0]
    assert [row.outcome for row in app.trace.deliveries] == ["refused"]


@pytest.mark.parametrize("policy", ["drop newest", "drop oldest"])
def test_a_report_does_not_say_that_what_a_full_queue_refused_went_to_nobody(policy):
    app = App(recorder("mail", bound=1, when_full=policy)[0], clock="virtual")
    app.publish_many(CartItemAdded(cart_id=str(number)) for number in range(3))
    app.publish(OrderPlaced(order_id="o-1"))

    assert app.report().says == "4 events were published, 1 of them to nobody."


def test_wait_for_returns_the_events_one_after_the_other():
    with App(cart_component()) as app:
        for cart_id in ("a", "b"):
            app.send(AddItem(cart_id=cart_id))

        assert [app.wait_for(CartItemAdded).cart_id for _ in range(2)] == ["a", "b"]
        with pytest.raises(WaitTimeoutError, match=r"cart\.item\.added did not happen within 0.01 s"):
            app.wait_for(CartItemAdded, timeout=0.01)


def test_wait_for_waits_no_longer_in_this_thread_than_it_was_told():
    app = App(recorder("mail")[0])
    app.call_at(app.now_ns + 120_000_000_000, lambda: None)
    began = time.monotonic()

    with pytest.raises(WaitTimeoutError):
        app.wait_for(CartItemAdded, timeout=0.01)
    assert time.monotonic() - began < 60, "not until the call that is due in two minutes"


def test_wait_for_moves_virtual_time_no_further_than_needed():
    slow = Component("cart", takes=Constant(1))
    slow.on(AddItem)(lambda command, context: context.publish(CartItemAdded(cart_id=command.cart_id)) and None)
    app = App(slow, clock="virtual")
    app.send(AddItem(cart_id="a"))

    assert app.wait_for(CartItemAdded, timeout=5).cart_id == "a"
    assert app.now_ns == 1_000_000_000


def test_stopping_gives_back_what_was_not_handled_and_nothing_is_lost():
    mail, mailed = recorder("mail")
    app = App(mail)
    app.start()
    app.pause("mail")
    for number in range(5):
        app.publish(CartItemAdded(cart_id=str(number)))
    app.stop()
    app.resume("mail")
    app.run_until_idle()

    assert len(mailed) == 5


def test_a_handler_that_does_not_end_is_named_when_the_app_stops():
    release, component = threading.Event(), Component("mail")
    component.on(CartItemAdded)(lambda event, context: release.wait(60))
    app = App(component).start()
    app.publish(CartItemAdded(cart_id="c-1"))
    while not app.trace.publications or app.backlog("mail"):
        time.sleep(0.001)

    with pytest.raises(WaitTimeoutError, match="still running: mail"):
        app.stop(timeout=0.01)
    release.set()
    assert app.backlog("mail") == 1, "its event is delivered again"


def raising(error, *, is_async):
    """Return a component whose handler raises *error*, and the list of its attempts."""
    component, tries = Component("mail", max_attempts=2, backoff=Backoff(0, 0)), []

    def handle(event, context):
        tries.append(event.cart_id)
        raise error

    async def handle_and_await(event, context):
        handle(event, context)

    component.on(CartItemAdded)(handle_and_await if is_async else handle)
    return component, tries


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [SystemExit(), GeneratorExit(), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_whatever_a_handler_raises_in_the_background_is_an_attempt_that_failed(error, is_async):
    component, tries = raising(error, is_async=is_async)
    with App(component) as app:
        app.publish_many([CartItemAdded(cart_id="1"), CartItemAdded(cart_id="2")])
        app.wait_until_idle(60)

        assert sorted(tries) == ["1", "1", "2", "2"]
        assert len(app.dead_letters()) == 2


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [SystemExit(), GeneratorExit(), asyncio.CancelledError()], ids=repr)
def test_whatever_a_handler_raises_in_this_thread_but_ctrl_c_is_an_attempt_that_failed(error, is_async):
    component, tries = raising(error, is_async=is_async)
    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="1"))
    app.run_until_idle(on_error="retry")

    assert (tries, len(app.dead_letters())) == (["1", "1"], 1)


def test_an_await_on_what_was_cancelled_is_an_attempt_that_failed():
    component, tries = Component("mail", backoff=Backoff(0, 0)), []

    @component.on(CartItemAdded)
    async def handle(event, context):
        tries.append(context.attempt)
        if len(tries) == 1:
            asking = asyncio.create_task(context.sleep(60))
            asking.cancel()
            await asking

    with App(component) as app:
        app.publish(CartItemAdded(cart_id="1"))
        app.wait_until_idle(60)

        assert (tries, app.failures) == ([1, 2], {})


def test_a_handler_that_awaits_may_finish_when_something_else_ends_its_component():
    component, failed = Component("mail", concurrency=2), threading.Event()

    @component.on(CartItemAdded)
    async def handle(event, context):
        while event.cart_id == "slow" and not failed.is_set():
            await context.sleep(0.001)
        await context.sleep(0.01)

    def fail(name, delivery):
        if delivery.event.cart_id == "bad":
            failed.set()
            raise ZeroDivisionError

    app = App(component)
    app.hooks.on("handled", fail)
    with app:
        app.publish_many([CartItemAdded(cart_id="slow"), CartItemAdded(cart_id="bad")])
        with pytest.raises(ZeroDivisionError):
            app.wait_until_idle(60)

        assert [row.outcome for row in app.trace.deliveries] == ["handled"]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_passes_the_handlers_ends_the_background_of_its_component_and_is_raised_to_whoever_waits(is_async, concurrency):
    mail = Component("mail", concurrency=concurrency)

    def handle(event, context):
        """Do nothing."""

    async def handle_and_await(event, context):
        """Do nothing, on an asyncio loop."""

    mail.on(CartItemAdded)(handle_and_await if is_async else handle)
    app = App(mail)
    app.hooks.on("handled", lambda *_: 1 / 0)
    with app:
        app.publish(CartItemAdded(cart_id="c"))

        with pytest.raises(ZeroDivisionError):
            app.wait_until_idle(timeout=60)
        assert isinstance(app.failures["mail"], ZeroDivisionError)


class Watched(Component):
    """A component that counts how often somebody looks whether prefetch lets one more event in."""

    looks = 0

    @property
    def prefetch(self):
        self.looks += 1
        return self.most

    @prefetch.setter
    def prefetch(self, most):
        self.most = most


@pytest.mark.parametrize("is_async", [False, True])
def test_a_retry_that_is_due_while_no_worker_may_take_it_is_waited_for_without_spinning(is_async):
    component, tries = Watched("mail", backoff=Backoff(base=0.2, cap=0.2), prefetch=1, concurrency=2), []

    def attempt(event, context):
        tries.append(event.cart_id)
        if tries == ["first"]:
            raise ValueError("not yet")

    def handle(event, context):
        attempt(event, context)
        time.sleep(0.3)

    async def handle_and_await(event, context):
        attempt(event, context)
        await context.sleep(0.3)

    component.on(CartItemAdded)(handle_and_await if is_async else handle)
    with App(component) as app:
        app.publish_many([CartItemAdded(cart_id="first"), CartItemAdded(cart_id="second")])
        app.wait_until_idle(60)

    assert tries == ["first", "second", "first"]
    assert component.looks < 1_000, "once a millisecond at most, for 0.3 s"


def test_an_interrupt_gives_the_event_back():
    component, tries = Component("mail"), []

    @component.on(CartItemAdded)
    def handle(event, context):
        tries.append(context.attempt)
        if len(tries) == 1:
            raise KeyboardInterrupt

    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="1"))
    with pytest.raises(KeyboardInterrupt):
        app.run_until_idle()
    app.run_until_idle()

    assert tries == [1, 1]


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_an_interrupt_before_the_handler_gives_the_event_back_and_frees_the_worker(clock):
    component, done = recorder("mail")
    app, presses = App(component, clock=clock), [KeyboardInterrupt()]

    def press_stop(name, delivery):
        if presses:
            raise presses.pop()

    app.hooks.on("started", press_stop)
    app.publish(CartItemAdded(cart_id="1"))
    with pytest.raises(KeyboardInterrupt):
        app.run_until_idle()
    app.run_until_idle()

    assert len(done) == 1


def test_what_a_hook_raises_as_an_event_is_received_gives_the_event_back():
    component, done = recorder("mail")
    app, raised = App(component, clock="virtual"), [ZeroDivisionError()]

    def fail_once(name, delivery):
        if raised:
            raise raised.pop()

    app.hooks.on("received", fail_once)
    app.publish(CartItemAdded(cart_id="1"))
    with pytest.raises(ZeroDivisionError):
        app.run_until_idle()
    app.run_until_idle()

    assert len(done) == 1


def lose_the_connection(context):
    """Have all that a subscription took go back to its queue, as the broker does when a connection is lost."""
    context.message.channel.basic_recover(requeue=True)


@pytest.mark.parametrize("fails", [False, True])
def test_an_event_that_comes_again_while_it_is_handled_is_no_duplicate_until_that_is_done(fails):
    component, tries = Component("mail", concurrency=2, inbox=Inbox(), backoff=Backoff(0, 0)), []

    @component.on(CartItemAdded)
    async def handle(event, context):
        tries.append(context.message)
        if len(tries) == 1:
            lose_the_connection(context)
            await context.sleep(1)
            if fails:
                raise ConnectionError("the network is down, for this handler too")

    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="1"))
    app.run_until_idle(on_error="retry")

    assert [row.outcome for row in app.trace.deliveries] == (["retried", "handled"] if fails else ["handled", "duplicate"])


def test_an_event_that_went_back_while_it_was_handled_and_failed_keeps_neither_its_key_nor_its_order():
    component, tries = Component("mail", order="per key", concurrency=2), []

    @component.on(CartItemAdded)
    async def handle(event, context):
        tries.append(event.product_id)
        if len(tries) == 1:
            await context.sleep(1)  # the second one is taken, and waits here for the first of its key
            lose_the_connection(context)
            await context.sleep(1)  # the first one is taken again
            raise ConnectionError("the network is down, for this handler too")

    app = App(component, clock="virtual")
    app.publish_many([CartItemAdded(cart_id="a", product_id=product) for product in ("first", "second")])
    app.run_until_idle(on_error="retry")

    assert tries == ["first", "first", "second"]


@pytest.mark.parametrize("stops", [False, True])
def test_what_was_acked_before_the_work_and_is_cut_off_is_told_by_the_trace(stops):
    component = Component("mail", ack="before", takes=Constant(1))

    @component.on(CartItemAdded)
    def handle(event, context):
        raise KeyboardInterrupt

    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="a"))
    if stops:
        app.advance(0.5)
        app.stop()
    else:
        with pytest.raises(KeyboardInterrupt):
            app.run_until_idle()

    assert [row.outcome for row in app.trace.deliveries] == ["crashed"]
    assert app.bus.outstanding("mail") == 0


def test_what_was_to_be_acked_before_the_work_and_went_back_meanwhile_is_handled_when_it_comes_again():
    component, handled = Component("mail", ack="before", order="per key", concurrency=2, takes=Constant(1)), []

    @component.on(CartItemAdded)
    def handle(event, context):
        handled.append(event.product_id)
        if len(handled) == 1:
            lose_the_connection(context)  # and with it the second event, which waits here for the first of its key

    app = App(component, clock="virtual")
    app.publish_many([CartItemAdded(cart_id="a", product_id=product) for product in ("first", "second")])
    app.run_until_idle()

    assert handled == ["first", "second"]


def test_what_went_back_before_its_early_ack_is_not_told_to_have_crashed():
    component = Component("mail", ack="before")
    component.on(CartItemAdded)(lambda event, context: None)
    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="a", product_id="1001"))
    forget = app.hooks.on("received", lambda name, delivery: (forget(), lose_the_connection(delivery)))
    app.run_until_idle()

    assert [row.outcome for row in app.trace.deliveries] == ["handled"]


def test_an_interrupt_of_what_was_acked_before_the_work_frees_its_key():
    component, tries = Component("mail", ack="before", order="per key"), []

    @component.on(CartItemAdded)
    def handle(event, context):
        tries.append(event.product_id)
        if len(tries) == 1:
            raise KeyboardInterrupt

    app = App(component, clock="virtual")
    app.publish_many(CartItemAdded(cart_id="a", product_id=product_id) for product_id in ("first", "second"))
    with pytest.raises(KeyboardInterrupt):
        app.run_until_idle()
    app.run_until_idle()

    assert tries == ["first", "second"]


def test_use_after_close_raises_and_the_record_stays():
    app = App(failing())
    app.publish(CartItemAdded(cart_id="c-1"))
    with pytest.raises(ValueError, match="template"):
        app.run_until_idle()
    app.close()
    app.close()

    for use in (app.run_until_idle, lambda: app.publish(CartItemAdded(cart_id="c-1")), lambda: app.backlog("mail"), app.start):
        with pytest.raises(ClosedError, match="the app is closed; make a new one"):
            use()
    assert isinstance(app.dead_letters()[0], DeadLetter)
    assert "Dead: mail: ValueError" in app.report().says


def test_an_app_that_could_not_be_opened_says_so_each_time_until_it_can_be(tmp_path):
    folder, handled = tmp_path / "later", []
    stock = Component("stock", inbox=DatabaseInbox(folder / "stock.db"))
    stock.on(CartItemAdded)(lambda event, context: handled.append(event.cart_id))
    app = App(stock)

    for _ in range(2):
        with pytest.raises(InboxError, match="no folder"):
            app.publish(CartItemAdded(cart_id="c"))
    folder.mkdir()
    app.publish(CartItemAdded(cart_id="c"))
    app.run_until_idle()
    app.close()

    assert handled == ["c"]


def test_a_closed_bus_says_so():
    bus = Bus()
    bus.close()

    for use in (lambda: bus.publish(CartItemAdded(cart_id="c-1")), bus.connect):
        with pytest.raises(ClosedError, match="the bus is closed"):
            use()


def test_an_app_that_nobody_refers_to_leaves_no_thread():
    before = set(threading.enumerate())
    app = App(recorder("mail")[0]).start()
    gone = weakref.ref(app)
    del app
    gc.collect()

    assert gone() is None
    deadline = time.monotonic() + 60  # whichever thread collected the app may be one of those that end
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def test_an_app_of_the_same_name_stops_the_one_it_replaces():
    before = set(threading.enumerate())
    old = App(recorder("mail")[0], name="desk").start()
    App(recorder("mail")[0], name="desk")

    assert set(threading.enumerate()) <= before
    old.publish(CartItemAdded(cart_id="c-1"))
    assert old.run_until_idle() == 1


def test_a_bus_on_memory_is_private_and_a_named_one_is_shared():
    one, seen = recorder("mail")
    App(broker="memory://").publish(CartItemAdded(cart_id="c-1"))
    first, second = App(one, broker="memory://hall"), App(broker="memory://hall")
    first.run_until_idle()
    second.publish(CartItemAdded(cart_id="c-2"))
    first.run_until_idle()

    assert [event.cart_id for event in seen] == ["c-2"]


@pytest.mark.parametrize("clocks", [("virtual", "virtual"), ("virtual", "wall"), ("wall", "virtual")])
def test_who_shares_a_broker_shares_its_clock(clocks):
    first, second = (App(recorder("mail")[0], broker=f"memory://{'-'.join(clocks)}", clock=clock) for clock in clocks)
    first.publish(CartItemAdded(cart_id="c-1"))

    with pytest.raises(VirtualTimeError, match=r"memory://\S+ is in use with another clock.*close the other app"):
        second.publish(CartItemAdded(cart_id="c-2"))

    first.close()
    assert second.publish(CartItemAdded(cart_id="c-2")).queues == 1


def test_clock_seed_and_broker_can_be_chosen_until_the_app_is_used():
    app = App(recorder("mail")[0])
    app.configure(clock="virtual", seed=7)
    app.publish(CartItemAdded(cart_id="c-1"))

    assert app.now_ns == 0
    with pytest.raises(InvalidValueError, match="a new app"):
        app.configure(seed=8)


@pytest.mark.parametrize(
    "use", [lambda app: app.pause("male"), lambda app: app.resume("male"), lambda app: app.backlog("male"), lambda app: app.redrive("male")]
)
def test_an_unknown_component_is_named_with_the_known_ones(use):
    with pytest.raises(UnknownComponentError, match=r"no component is called 'male' \(known: mail\)"):
        use(App(recorder("mail")[0]))


def test_two_components_of_one_name_are_refused():
    with pytest.raises(InvalidValueError, match="taken: mail"):
        App(recorder("mail")[0], recorder("mail")[0])


def test_background_and_virtual_time_exclude_each_other():
    with pytest.raises(VirtualTimeError, match=r"advance\(seconds\)"):
        App(clock="virtual").start()
    with pytest.raises(VirtualTimeError, match="wall clock"):
        App().advance(1)
    with App() as app, pytest.raises(VirtualTimeError, match="in the background already"):
        app.run_until_idle()


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"prefetch": 0},
        {"max_attempts": -1},
        {"bound": 0},
        {"order": "total"},
        {"when_full": "cry"},
        {"ack": "never"},
        {"takes": 0.004},
        {"concurrency": 1.5},
    ],
)
def test_a_component_refuses_what_makes_no_sense(options):
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        Component("mail", **options)


@pytest.mark.parametrize("name", ["", "Mail", "9", "a b", "mail.dead", "x" * 64])
def test_a_component_refuses_a_name_that_is_no_queue(name):
    with pytest.raises(InvalidValueError, match="name"):
        Component(name)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another():
    def digest(seed):
        app = App(cart_component(), failing(), clock="virtual", seed=seed)
        for number in range(20):
            app.send(AddItem(cart_id=str(number)))
        app.run_until_idle(on_error="retry")
        return app.trace.digest()

    assert digest(1) == digest(1) != digest(2)


def test_a_timer_in_the_past_is_refused():
    app = App(clock="virtual")
    app.advance(1)

    with pytest.raises(VirtualTimeError, match="is over"):
        app.call_at(0, lambda: None)
    with pytest.raises(InvalidValueError, match="zero or more"):
        app.advance(-1)


def test_what_is_published_before_an_event_that_cannot_travel_is_there_and_is_in_the_trace():
    mail, seen = recorder("mail")
    app = App(mail)
    events = [CartItemAdded(cart_id="a"), CartItemAdded(cart_id="b"), CartItemAdded(cart_id=7), CartItemAdded(cart_id="d")]

    with pytest.raises(EventValueError, match="Expected `str`, got `int`"):
        app.publish_many(events)
    app.run_until_idle()

    assert sorted(event.cart_id for event in seen) == ["a", "b"]
    assert len(app.trace.publications) == 2
