"""An app in the hands of several threads: opened, started, stopped and closed at any moment, also from its own handlers."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from contextlib import nullcontext, suppress
from itertools import pairwise

import pytest

from edakit import App, Backoff, Component, Constant, DatabaseInbox, Inbox
from edakit.errors import ClosedError, InboxError, VirtualTimeError
from edakit.measuring import ClosedLoop, Each, measure
from tests.shop_language import CartItemAdded, OrderPlaced, recorder


@pytest.fixture(params=["memory://", "sqlite:///"])
def broker(request, tmp_path):
    return request.param if request.param == "memory://" else f"sqlite:///{tmp_path}/shop.db"


def component_that(do):
    """Return a component whose handler calls *do*, and the list of what it raised, None where it returned."""
    component, ended = Component("mail"), []

    @component.on(CartItemAdded)
    def handle(event, context):
        try:
            do()
        except BaseException as error:
            ended.append(error)
            raise
        ended.append(None)

    return component, ended


def until(true):
    """Wait until *true* says so."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def at_once(count, do):
    """Call *do* in *count* threads at the same time; return what was raised."""
    raised, begin = [], threading.Barrier(count)

    def run():
        begin.wait()
        try:
            do()
        except BaseException as error:  # noqa: BLE001 (the test asks what it was)
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_an_app_that_several_threads_use_first_loses_nothing():
    for _ in range(10):
        mail, mailed = recorder("mail")
        app = App(mail)

        raised = at_once(8, lambda app=app: app.publish(CartItemAdded(cart_id="c-1")))
        app.run_until_idle()

        assert (raised, len(mailed)) == ([], 8)


def test_an_app_that_several_threads_start_is_started_once():
    before = set(threading.enumerate())
    for _ in range(10):
        app = App(recorder("mail")[0])

        assert at_once(4, app.start) == []
        assert len(set(threading.enumerate()) - before) == 1

        app.close()
        assert set(threading.enumerate()) <= before


def test_several_threads_may_stop_an_app_and_close_it(broker):
    for _ in range(5):
        app = App(*(recorder(f"mail-{number}")[0] for number in range(4)), broker=broker).start()
        app.publish(CartItemAdded(cart_id="c-1"))

        assert at_once(4, app.stop) == []
        assert at_once(4, app.close) == []


def test_a_stop_in_the_middle_of_a_start_stops_all_of_it_or_comes_first():
    for moment in range(20):
        app = App(*(recorder(f"mail-{number}")[0] for number in range(20)))
        app.publish(CartItemAdded(cart_id="c-1"))
        stopping = threading.Timer(moment / 5000, app.stop)
        stopping.start()

        app.start()
        stopping.join()

        served = app._running.workers
        assert len(served) == (20 if app._running.background else 0)
        app.close()


def test_an_app_that_is_started_while_another_thread_runs_it_goes_on_in_the_background(tmp_path):
    begun, released = threading.Event(), threading.Event()
    component, ended = component_that(lambda: begun.set() or released.wait(60))
    app = App(component, broker=f"sqlite:///{tmp_path}/shop.db")
    app.publish(CartItemAdded(cart_id="c-1"))
    running = threading.Thread(target=app.run_until_idle)
    running.start()
    begun.wait(60)
    threading.Timer(0.05, released.set).start()

    app.start()
    running.join()
    app.publish(CartItemAdded(cart_id="c-2"))
    app.wait_until_idle(60)

    assert ended == [None, None]
    app.close()


def test_two_threads_cannot_run_an_app_at_the_same_time():
    begun, released = threading.Event(), threading.Event()
    component, ended = component_that(lambda: begun.set() or released.wait(60))
    app = App(component, clock="virtual")
    app.publish(CartItemAdded(cart_id="c-1"))
    running = threading.Thread(target=app.run_until_idle)
    running.start()
    begun.wait(60)

    with pytest.raises(VirtualTimeError, match="the app runs already"):
        app.run_until_idle()

    released.set()
    running.join()
    app.publish(CartItemAdded(cart_id="c-2"))
    app.run_until_idle()
    assert ended == [None, None]


class SlowToOpen(Inbox):
    """An inbox whose opening takes as long as the test wants."""

    def __init__(self):
        super().__init__()
        self.opening, self.may_open = threading.Event(), threading.Event()

    def open(self):
        self.opening.set()
        self.may_open.wait(60)


def test_a_handler_that_is_added_while_another_thread_opens_the_app_gets_events():
    inbox, (mail, mailed) = SlowToOpen(), recorder("mail")
    app = App(mail, Component("stock", inbox=inbox))
    opening = threading.Thread(target=lambda: app.bus)
    opening.start()
    inbox.opening.wait(60)
    adding = threading.Thread(target=lambda: mail.on(OrderPlaced)(lambda event, context: mailed.append(event)))
    adding.start()
    until(lambda: len(mail.handlers) == 2)
    inbox.may_open.set()
    opening.join()
    adding.join()

    app.publish(OrderPlaced(order_id="o-1"))
    app.run_until_idle()

    assert len(mailed) == 1


@pytest.mark.parametrize("on_error", ["raise", "retry"])
def test_a_handler_may_stop_its_app_and_fail_and_its_event_comes_again(broker, on_error):
    def stop_and_fail():
        app.stop()
        if not ended:
            raise ValueError("no such template")

    component, ended = component_that(stop_and_fail)
    app = App(component, broker=broker)
    app.publish(CartItemAdded(cart_id="c-1"))

    with pytest.raises(ValueError, match="template") if on_error == "raise" else nullcontext():
        app.run_until_idle(on_error=on_error)

    assert app.backlog("mail") == 1
    app.run_until_idle()
    assert ended[1:] == [None]
    app.close()


def test_what_waits_for_its_next_attempt_is_tried_again_after_a_stop_too():
    component, tries = Component("mail", backoff=Backoff(60, 60)), []

    @component.on(CartItemAdded)
    def handle(event, context):
        tries.append(context.attempt)
        if context.attempt == 1:
            raise ValueError("no such template")

    app = App(component, clock="virtual")
    app.publish_many([CartItemAdded(cart_id="c-1"), CartItemAdded(cart_id="c-2")])
    app.advance(1, on_error="retry")
    app.stop()
    app.run_until_idle()

    assert tries == [1, 1, 2, 2]


@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_an_async_handler_that_is_added_to_an_open_app_makes_no_second_worker(clock):
    mail, begun = Component("mail", takes=Constant(0.01)), []
    mail.on(CartItemAdded)(lambda event, context: begun.append((threading.current_thread(), context.started_at)))
    app = App(mail, clock=clock)
    app.publish_many(CartItemAdded(cart_id="c-1") for _ in range(5))

    @mail.on(OrderPlaced)
    async def handle(event, context):
        """Do nothing, on an asyncio loop."""

    app.publish(OrderPlaced(order_id="o-1"))
    app.run_until_idle()

    threads, times = zip(*begun, strict=True)
    assert len(set(threads)) == 1
    assert all(later - earlier >= 10_000_000 for earlier, later in pairwise(times))
    app.close()


def test_a_handler_may_stop_its_app_in_the_background_and_its_event_comes_again(broker):
    component, ended = component_that(lambda: App.stop(app))
    app = App(component, broker=broker).start()
    app.publish(CartItemAdded(cart_id="c-1"))
    until(lambda: ended)

    assert ended == [None]
    until(lambda: app.backlog("mail") == 1)
    app.close()


@pytest.mark.parametrize("end", [App.stop, App.close])
def test_a_handler_that_stops_its_app_ends_the_run(broker, end):
    component, ended = component_that(lambda: end(app))
    app = App(component, broker=broker)
    app.publish_many([CartItemAdded(cart_id="c-1"), CartItemAdded(cart_id="c-2")])

    with suppress(ClosedError):  # where it waits beside the thread that closes
        app.run_until_idle()
    until(lambda: ended)

    assert ended == [None]
    if end is App.stop:
        until(lambda: app.backlog("mail") == 2)
    app.close()


def test_a_handler_that_runs_its_own_app_beside_the_loop_is_refused(tmp_path):
    component, _ = component_that(lambda: App.run_until_idle(app))
    app = App(component, broker=f"sqlite:///{tmp_path}/shop.db")
    app.publish(CartItemAdded(cart_id="c-1"))

    with pytest.raises(VirtualTimeError, match="wait for its end"):
        app.run_until_idle()
    app.close()


@pytest.mark.parametrize("run", [App.start, App.run_until_idle])
def test_an_app_of_which_one_component_cannot_be_served_serves_none(tmp_path, run):
    mail, mailed = recorder("mail")
    stock, _ = recorder("stock", inbox=DatabaseInbox(tmp_path / "no such folder" / "stock.db"))
    app = App(mail, stock, broker=f"sqlite:///{tmp_path}/shop.db")

    with pytest.raises(InboxError):
        run(app)

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mail")] == []
    app.publish(CartItemAdded(cart_id="c-1"))
    assert (mailed, app.backlog("mail")) == ([], 1)
    app.close()


def test_a_publisher_waits_for_room_also_when_another_app_of_its_broker_was_stopped():
    released = threading.Event()
    mail = Component("mail", bound=1, when_full="wait")
    mail.on(CartItemAdded)(lambda event, context: released.wait(60))
    with App(mail, broker="memory://shared") as app:
        other = App(recorder("stock")[0], broker="memory://shared").start()
        other.stop()
        app.publish(CartItemAdded(cart_id="c-1"))
        until(lambda: app.backlog("mail") == 0)
        app.publish(CartItemAdded(cart_id="c-2"))
        threading.Timer(0.05, released.set).start()

        app.publish(CartItemAdded(cart_id="c-3"))

        app.wait_until_idle(60)
        other.close()


def test_components_may_be_added_while_another_thread_waits():
    raised, added = [], threading.Event()

    def wait():
        try:
            while not added.is_set():
                app.wait_until_idle(60)
                assert app.failures == {}
                app.report()
        except BaseException as error:  # noqa: BLE001 (the test asks what it was)
            raised.append(error)

    with App(recorder("mail")[0]) as app:
        waiting = threading.Thread(target=wait)
        waiting.start()
        for number in range(60):
            app.add(Component(f"stock-{number}"))
            app.publish(CartItemAdded(cart_id="c-1"))
        added.set()
        waiting.join()

    assert raised == []


def test_what_was_acked_before_the_work_is_waited_for(broker):
    mail = Component("mail", ack="before")

    @mail.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.1)
        context.publish(OrderPlaced(order_id="o-1"))

    stock, stocked = recorder("stock", OrderPlaced)
    with App(mail, stock, broker=broker) as app:
        app.publish(CartItemAdded(cart_id="c-1"))

        app.wait_until_idle(60)

        assert len(stocked) == 1


def test_an_app_that_was_measured_goes_with_its_last_reference():
    app = App(recorder("mail")[0], clock="virtual")
    measure(app, Each(ClosedLoop(testers=1, every=0.1, duration=1.0), lambda number, random: CartItemAdded(cart_id=f"c-{number}")))
    gone = weakref.ref(app)

    del app
    gc.collect()

    assert gone() is None
