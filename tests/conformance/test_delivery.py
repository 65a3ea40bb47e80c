"""What reaches whom, how often and in which order, on every broker."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from random import Random

import pytest

from edakit import App, Backoff, CapabilityError, Component, CrashPoint, Faults, Inbox
from edakit.errors import ClosedError, InvalidValueError, QueueFullError, UnroutableEventError
from edakit.shop import build_shop, state_hash
from edakit.shop import events as shop_language
from tests.chaos.garbage import forty_kinds_of_garbage
from tests.conformance.helpers import Taker, added, in_namespace, kill, numbers, opened, process, publish_raw, queue, taker, until
from tests.shop_language import AddItem, CartItemAdded, OrderPlaced, recorder

TAKE_AND_WAIT = """
import sys, time
from edakit import Bus
from tests.conformance.helpers import Taker
taking = Taker(Bus(sys.argv[1]), prefetch=10)
print(len(taking.take_all(5, ack=False)), flush=True)
time.sleep(60)
"""


def test_a_thousand_events_come_in_order(broker_url):
    with opened(broker_url) as bus:
        queue(bus)
        for number in range(1000):
            bus.publish(added(number))
        with taker(bus) as taking:
            assert numbers(taking.take_all(1000)) == list(range(1000))
        until(lambda: bus.outstanding("mail") == 0)


def test_five_thousand_events_survive_that_consumers_close_and_open_again(broker_url, can):
    seen = []
    with opened(broker_url) as bus:
        queue(bus)
        receipts = bus.publish_many(added(number) for number in range(5000))
        assert len({receipt.id for receipt in receipts}) == 5000
        if not can.durable:  # what is in memory lives as long as somebody has it open
            _take_in_turns(broker_url, seen)
    if can.durable:
        _take_in_turns(broker_url, seen)

    assert sorted(set(seen)) == list(range(5000))
    assert seen == sorted(seen), "none overtook another"


def _take_in_turns(url, seen):
    for turn in range(5):
        with opened(url) as bus, taker(bus, prefetch=50) as taking:
            seen += numbers(taking.take_all(1000))
            if turn < 4:
                taking.take_all(30, ack=False)


def test_what_is_confirmed_is_there_for_everybody(broker_url, can):
    with opened(broker_url, broker_url) as (bus, other):
        queue(bus)
        queue(bus, "stock")
        receipt = bus.publish(added(1))

        assert receipt.queues == (2 if can.counts_queues else None)
        assert (other.backlog("mail"), other.backlog("stock")) == (1, 1)
        assert bus.publish(OrderPlaced(order_id="o-1")).queues == (0 if can.counts_queues or can.must_route else None)


def test_many_events_are_published_in_order_and_each_has_its_receipt(broker_url, can):
    with opened(broker_url) as bus:
        queue(bus)
        receipts = bus.publish_many(added(number) for number in range(2500))
        with taker(bus) as taking:
            messages = taking.take_all(2500)

    assert numbers(messages) == list(range(2500))
    assert [receipt.id for receipt in receipts] == [message.headers["cloudEvents_id"] for message in messages]
    assert {receipt.queues for receipt in receipts} == {1 if can.counts_queues else None}


def test_a_command_is_no_event(broker_url):
    with opened(broker_url) as bus:
        for use in (bus.publish, lambda command: bus.publish_many([command])):
            with pytest.raises(InvalidValueError, match=r"a Command is sent with send"):
                use(AddItem(cart_id="a"))


def test_an_event_that_nobody_is_bound_to_is_refused_where_that_is_asked_for(broker_url, can):
    with opened(broker_url) as bus:
        queue(bus)
        with pytest.raises(UnroutableEventError if can.must_route else CapabilityError):
            bus.publish(OrderPlaced(order_id="o-1"), must_route=True)
        if can.must_route:
            assert bus.publish(added(1), must_route=True).queues in {1, None}


def test_the_shop_comes_to_the_same_end_on_every_broker(broker_url):
    def end(**options):
        shop = build_shop(takes={}, seed=3, payment_failure=0.3, **options)
        products = list(shop.state.catalogue.products)[:7]
        for number in range(40):
            for line in range(3):
                shop.send(shop_language.AddItem(cart_id=f"c-{number}", product_id=products[number * line % 7], quantity=line + 1))
            if number % 4:
                shop.send(shop_language.CheckOut(cart_id=f"c-{number}"))
        shop.run_until_idle()
        found = state_hash(shop)
        shop.close()
        return found

    assert end(broker=broker_url) == end(broker="memory://", clock="virtual")


def test_a_late_subscriber_gets_what_comes_after(broker_url):
    with opened(broker_url) as bus:
        queue(bus, "early")
        bus.publish(added(1))
        queue(bus, "late")
        bus.publish(added(2))
        with taker(bus, "late") as late, taker(bus, "early") as early:
            assert numbers(early.take_all(2)) == [1, 2]
            assert numbers(late.take_all(1)) == [2]
            assert late.take(0.05) is None


def test_prefetch_limits_what_one_consumer_has_and_leaves_the_rest_to_others(broker_url):
    with opened(broker_url, broker_url) as (bus, other):
        queue(bus)
        bus.publish_many(added(number) for number in range(10))
        with taker(bus, prefetch=3) as one, taker(other, prefetch=100) as two:
            held = one.take_all(3, ack=False)
            assert one.take(0.05) is None
            assert one.subscription.in_flight == 3
            rest = two.take_all(7)
            assert sorted(numbers(held) + numbers(rest)) == list(range(10))
            for message in held:
                message.ack()
            assert one.subscription.in_flight == 0


def test_competing_consumers_share_the_work_and_each_event_is_handled_once(broker_url):
    seen = []
    with opened(broker_url, broker_url) as (bus, other):
        queue(bus)
        bus.publish_many(added(number) for number in range(400))

        def work(taking):
            while len(seen) < 400:
                if (message := taking.take(0.3)) is not None:
                    seen.append(message)
                    message.ack()

        with taker(bus, prefetch=5) as one, taker(other, prefetch=5) as two:
            threads = [threading.Thread(target=work, args=(taking,)) for taking in (one, two)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert one.take(0.3) is two.take(0.05) is None

    assert sorted(numbers(seen)) == list(range(400))


def test_what_was_not_acked_comes_back_after_a_close_to_that_queue_only(broker_url):
    with opened(broker_url) as bus:
        queue(bus)
        queue(bus, "stock")
        bus.publish_many(added(number) for number in range(5))
        dying = Taker(bus)
        dying.take_all(2, ack=True)
        dying.take_all(2, ack=False)
        dying.close()

        with taker(bus) as taking, taker(bus, "stock") as stock:
            again = taking.take_all(3)
            assert numbers(again) == [2, 3, 4]
            assert [message.redelivered for message in again[:2]] == [True, True]
            assert taking.take(0.05) is None
            assert numbers(stock.take_all(5)) == list(range(5))
            assert stock.take(0.05) is None


def test_what_a_process_had_that_was_killed_comes_back_to_that_queue_only(broker_url, can):
    if not can.processes:
        crash_in_this_process(broker_url)
        return
    with opened(broker_url) as bus:
        queue(bus)
        queue(bus, "stock")
        bus.publish_many(added(number) for number in range(8))
        with process(TAKE_AND_WAIT, broker_url) as dying:
            assert dying.stdout.readline() == "5\n"
            kill(dying)
        with taker(bus) as taking, taker(bus, "stock") as stock:
            assert sorted(numbers(taking.take_all(8))) == list(range(8))
            assert taking.take(0.05) is None
            assert numbers(stock.take_all(8)) == list(range(8))
            assert stock.take(0.05) is None


def crash_in_this_process(url):
    component, seen = recorder("mail")
    app = App(component, broker=url, faults=Faults(CrashPoint("mail", "handled", nth=3), restart_after=0.001))
    app.bus.publish_many(added(number) for number in range(8))
    app.run_until_idle(on_error="retry")
    app.close()

    assert Counter(int(event.product_id) for event in seen) == Counter([*range(8), 2])


def test_an_event_that_fails_is_tried_so_often_then_kept_and_can_be_redriven(broker_url):
    tries, broken = Counter(), [True]
    component = Component("mail", max_attempts=3, backoff=Backoff(base=0.001, cap=0.002))

    @component.on(CartItemAdded)
    def handle(event, context):
        tries[event.product_id, context.attempt] += 1
        if event.product_id == "1" and broken:
            raise ValueError("no such template")

    app = App(component, broker=broker_url)
    app.bus.publish_many(added(number) for number in range(3))
    app.run_until_idle(on_error="retry")

    assert tries == Counter([("0", 1), ("1", 1), ("1", 2), ("1", 3), ("2", 1)])
    (dead,) = app.dead_letters("mail")
    assert (dead.reason, dead.error, dead.attempts, dead.event_type) == ("failed", "ValueError: no such template", 3, "cart.item.added")

    broken.clear()
    assert app.redrive("mail") == 1
    assert app.dead_letters("mail") == []
    app.run_until_idle(on_error="retry")
    assert tries["1", 1] == 2
    assert app.dead_letters("mail") == []
    app.close()


def test_a_retry_comes_no_earlier_than_asked_for_and_counts_as_an_attempt_or_not(broker_url, can):
    with opened(broker_url) as bus:
        queue(bus)
        bus.publish(added(1))
        with taker(bus) as taking:
            message, late = taking.take(), []
            if not can.delayed:
                with pytest.raises(CapabilityError):
                    message.retry(bus.clock.now_ns() + 150_000_000)
                return
            for attempt in (2, 3, 4):
                due_ns = bus.clock.now_ns() + 150_000_000
                message.retry(due_ns)
                assert abs(taking.subscription.next_due_ns() - due_ns) < 1_000_000
                message = taking.take()
                late.append(bus.clock.now_ns() - due_ns)
                assert (message.attempt, message.redelivered) == (attempt, True)
            assert 0 <= min(late) < 1_000_000_000
            message.retry(bus.clock.now_ns(), attempt=False)
            last = taking.take()
            assert last.attempt == 4
            last.ack()
            assert taking.subscription.next_due_ns() is None


def test_a_duplicate_has_the_same_id(broker_url):
    with opened(broker_url) as bus:
        queue(bus)
        bus.publish(added(1))
        with taker(bus) as taking:
            message = taking.take()
            message.duplicate()
            message.ack()
            copy = taking.take()
            copy.ack()
            assert copy.headers == message.headers
            assert taking.take(0.05) is None


def test_order_holds_per_key_while_events_are_retried(broker_url):
    done, random = {}, Random(11)
    component = Component("stock", order="per key", concurrency=4, prefetch=20, max_attempts=50, backoff=Backoff(base=0.001, cap=0.003))

    @component.on(CartItemAdded)
    def handle(event, context):
        if random.random() < 0.2:
            raise ValueError("not yet")
        done.setdefault(event.cart_id, []).append(int(event.product_id))

    with App(component, broker=broker_url) as app:
        app.bus.publish_many(added(number, key) for number, key in itertools.product(range(60), "abcd"))
        app.wait_until_idle(60)

    assert done == {key: list(range(60)) for key in "abcd"}


def test_three_subscribers_are_isolated(broker_url):
    applied, random = {name: Counter() for name in ("steady", "moody", "other")}, Random(6)

    def component(name, **options):
        made = Component(name, backoff=Backoff(base=0.001, cap=0.01), **options)

        @made.on(CartItemAdded)
        def handle(event, context):
            if name == "moody" and random.random() < 0.3:
                raise ValueError("rejected")
            applied[name][event.product_id] += 1

        return made

    crashes = [CrashPoint("moody", point, nth=0, share=0.05) for point in ("started", "handled")]
    members = component("steady"), component("moody", max_attempts=30, inbox=Inbox()), component("other")
    app = App(*members, broker=broker_url, seed=6, faults=Faults(*crashes, restart_after=0.001))
    app.bus.publish_many(added(number) for number in range(300))
    app.run_until_idle(on_error="retry")
    outcomes = Counter(row.outcome for row in app.trace.deliveries)
    app.close()

    assert min(outcomes["retried"], outcomes["crashed"]) > 0
    assert applied == {name: Counter(map(str, range(300))) for name in applied}


def test_foreign_messages_are_dead_lettered_with_a_reason_and_good_ones_are_handled(broker_url):
    component, seen = recorder("mail")
    app = App(component, broker=broker_url)
    kinds = list(forty_kinds_of_garbage())
    for number, (body, properties) in enumerate(kinds):
        publish_raw(app.bus, body, properties)
        app.publish(added(number))
    app.run_until_idle(on_error="retry")
    letters = app.dead_letters("mail")
    app.close()

    assert sorted(int(event.product_id) for event in seen) == list(range(40))
    assert [letter.reason for letter in letters] == ["malformed"] * 40
    assert all(letter.error.startswith("DecodeError: ") for letter in letters)


def test_two_namespaces_on_one_broker_know_nothing_of_each_other(broker_url):
    ours, theirs = in_namespace(broker_url, "class-a"), in_namespace(broker_url, "class-b")
    with opened(ours, theirs) as (bus, other):
        queue(bus)
        queue(other)
        bus.publish(added(1))

        assert (bus.backlog("mail"), other.backlog("mail")) == (1, 0)
        with taker(other) as stranger, taker(bus) as taking:
            assert stranger.take(0.05) is None
            assert numbers(taking.take_all(1)) == [1]


def test_what_was_published_can_be_replayed_from_an_offset_where_there_is_a_log(broker_url, can):
    with opened(broker_url) as bus:
        if not can.replay:
            with pytest.raises(CapabilityError, match=r"replay what was published; use "):
                bus.replay(0, CartItemAdded)
            return
        bus.publish_many(added(number) for number in range(10))
        bus.publish(OrderPlaced(order_id="o-1"))
        publish_raw(bus, b"{", {"content_type": "application/json", "content_encoding": "utf-8", "headers": {}})
        bus.publish(added(10))
        with pytest.raises(InvalidValueError, match="at least one"):
            bus.replay(0)
    with opened(broker_url) as bus:
        found = list(bus.replay(0, CartItemAdded))
        assert [int(each.event.product_id) for each in found] == list(range(11))
        assert [each.offset for each in found] == sorted({each.offset for each in found})
        assert [each.event for each in bus.replay(found[7].offset, CartItemAdded)] == [each.event for each in found[7:]]
        assert [each.event.order_id for each in bus.replay(0, OrderPlaced)] == ["o-1"]
        assert found[0].context.type == "cart.item.added"
        with pytest.raises(InvalidValueError, match="during a replay"):
            found[0].context.publish(added(1))
        queue(bus)
        assert bus.backlog("mail") == 0, "the log was read, and nobody's queue was touched"


def test_virtual_time_is_refused_where_the_broker_lives_in_real_time(broker_url, can):
    if can.virtual_time:
        App(broker=broker_url, clock="virtual").close()
    else:
        with pytest.raises(CapabilityError, match="virtual time"):
            App(broker=broker_url, clock="virtual")


def test_use_after_close_says_so(broker_url):
    with opened(broker_url) as bus:
        queue(bus)
    for use in (
        lambda: bus.publish(added(1)),
        lambda: bus.publish_many([added(1)]),
        lambda: bus.subscribe("mail", 1),
        bus.connect,
        lambda: bus.redrive("mail"),
    ):
        with pytest.raises(ClosedError, match="the bus is closed"):
            use()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_use_after_a_fork_says_so_and_the_parent_goes_on(broker_url):
    code = """
import os, sys
from edakit import App
from tests.conformance.helpers import added
from tests.shop_language import recorder
from edakit.errors import ForkedError
mail, mailed = recorder("mail")
app = App(mail, broker=sys.argv[1])
app.publish(added(1))
child = os.fork()
if not child:
    try:
        app.publish(added(2))
    except ForkedError as error:
        print(error, flush=True)
    sys.exit()
os.waitpid(child, 0)
app.publish(added(3))
app.run_until_idle()
print([event.product_id for event in mailed])
"""
    with process(code, broker_url) as running:
        says, handled = running.stdout.read().splitlines()
    assert "was opened by process" in says
    assert "open it in the new process only, not before the fork" in says
    assert handled == "['1', '3']"


def test_a_waiting_consumer_is_woken_at_once(broker_url):
    seen = []
    component = Component("mail")
    component.on(CartItemAdded)(lambda event, context: seen.append(time.perf_counter()))
    with App(component, broker=broker_url) as app:
        app.publish(added(0))
        app.wait_until_idle(60)
        waits = []
        for number in range(30):
            time.sleep(0.01)
            before, count = time.perf_counter(), len(seen)
            app.publish(added(number))
            until(lambda count=count: len(seen) > count)
            waits.append(seen[-1] - before)

    assert sorted(waits)[15] < 0.25, "kombu's own sleep for a second here"


PUBLISH_NOW_AND_THEN = """
import sys, time
from edakit import Bus
from tests.conformance.helpers import added
bus = Bus(sys.argv[1])
for _ in range(30):
    bus.publish(added(time.time_ns()))
    time.sleep(0.02)
bus.close()
"""


def test_a_waiting_consumer_is_woken_by_another_process(broker_url, can):
    if not can.processes:
        assert not can.durable, "what several processes cannot share lives in one"
        return
    with opened(broker_url) as bus:
        queue(bus)
        with taker(bus) as taking, process(PUBLISH_NOW_AND_THEN, broker_url):
            waits = []
            for _ in range(30):
                (sent,) = numbers(taking.take_all(1))
                waits.append((time.time_ns() - sent) / 1e9)

    assert sorted(waits)[15] < 0.25, "a few milliseconds; kombu's own poll once a second"


@pytest.mark.parametrize("when_full", ["raise", "wait", "drop newest", "drop oldest"])
def test_a_bounded_queue_does_what_its_policy_says_where_the_broker_can(broker_url, can, when_full):
    component, seen = recorder("mail", bound=3, when_full=when_full, prefetch=1)
    app = App(component, broker=broker_url)
    if not (can.drops if when_full.startswith("drop") else can.bounds):
        with pytest.raises(CapabilityError, match="bound a queue"):
            app.publish(added(0))
        return
    app.pause("mail")
    for number in range(3):
        app.publish(added(number))
    if when_full.startswith("drop"):
        receipt = app.publish(added(3))
        assert receipt.queues == ((when_full == "drop oldest") if can.counts_queues else None)
        assert [row.outcome for row in app.trace.deliveries] == ["refused"], "who publishes is told"
    else:
        with pytest.raises(QueueFullError, match="queue 'mail' holds 3 events"):
            app.publish(added(3))
    assert app.backlog("mail") == 3
    app.resume("mail")
    app.run_until_idle()
    app.close()

    assert [event.product_id for event in seen] == (["1", "2", "3"] if when_full == "drop oldest" else ["0", "1", "2"])


def test_a_publisher_waits_for_room_between_threads(broker_url, can):
    slow, handled = Component("mail", bound=5, when_full="wait", prefetch=1), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.002)
        handled.append(int(event.product_id))

    if not can.bounds:
        with pytest.raises(CapabilityError, match="bound a queue"):
            App(slow, broker=broker_url).start()
        return
    with App(slow, broker=broker_url) as app:
        for number in range(60):
            app.publish(added(number))
            assert app.backlog("mail") <= (5 if can.counts_queues else 5 + slow.prefetch), "what was taken ahead has left the queue"
        app.wait_until_idle(60)

    assert handled == list(range(60))
