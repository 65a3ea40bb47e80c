from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, closing, contextmanager

import pytest

from edakit import App, Backoff, Bus, Component, Constant, CrashPoint, DatabaseInbox, Faults, Inbox
from edakit.errors import ForkedError, HandlerConflictError, InboxError, InvalidValueError
from edakit.transports import sqlite_file
from tests.conformance.helpers import ROOT, publish_raw, until
from tests.shop_language import CartItemAdded

ADD = "UPDATE cart SET quantity = quantity + ? WHERE id = ?"


class Carts:
    """Two carts in a database, and how a component fills them: an effect that doubles when it is repeated."""

    def __init__(self, path):
        self.path, self.calls, self.inboxes = path, Counter(), []
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE cart (id TEXT PRIMARY KEY, quantity INTEGER NOT NULL)")
            database.executemany("INSERT INTO cart VALUES (?, 0)", ["a", "b"])

    def inbox(self, **options):
        self.inboxes.append(DatabaseInbox(self.path, **options))
        return self.inboxes[-1]

    def component(self, name="cart", *, inbox=None, before=None, after=None, **options):
        component = Component(name, inbox=inbox or self.inbox(), backoff=Backoff(base=0.001), **options)

        @component.on(CartItemAdded)
        def add(event, context):
            self.calls[name] += 1
            if before is not None:
                before()
            context.transaction.execute(ADD, (event.quantity, event.cart_id))
            if after is not None:
                after()

        return component

    def all(self, statement):
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(statement).fetchall()

    @property
    def quantities(self):
        return dict(self.all("SELECT id, quantity FROM cart"))

    @property
    def ids(self):
        return {row[0] for row in self.all("SELECT id FROM edakit_inbox")}


@pytest.fixture
def carts(tmp_path):
    made = Carts(tmp_path / "shop.db")
    yield made
    for inbox in made.inboxes:
        inbox.close()


@contextmanager
def locked(path):
    """Lock the file, as another program may."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def put(quantity=1, cart_id="a"):
    return CartItemAdded(cart_id=cart_id, quantity=quantity)


def outcomes(app):
    return [row.outcome for row in app.trace.deliveries]


def duplicated(app, times=1):
    """Have each event delivered *times* more, with the same id."""
    seen = set()

    def duplicate(name, delivery):
        if delivery.id not in seen:
            seen.add(delivery.id)
            for _ in range(times):
                delivery.message.duplicate()

    app.hooks.on("received", duplicate)


class Meeting:
    """One event is delivered twice at the same time: both deliveries are received before either begins, and both have begun when `wait` returns."""

    def __init__(self):
        self.barrier, self.begun, self.met, self.seen = threading.Barrier(2), threading.Semaphore(0), threading.Event(), set()

    def of(self, *apps):
        for app in apps:
            app.hooks.on("received", self._received)
            app.hooks.on("started", lambda *_: self.begun.release())
        return apps

    def _received(self, name, delivery):
        if not self.seen:
            self.seen.add(delivery.id)
            delivery.message.duplicate()
        if not self.met.is_set():
            self.barrier.wait(60)

    def wait(self):
        for _ in range(2):
            assert self.begun.acquire(timeout=60)
        self.met.set()


def test_effect_and_id_are_committed_together_and_before_the_ack(carts):
    app, seen = App(carts.component(), clock="virtual"), []
    app.hooks.on("handled", lambda name, delivery: seen.append((carts.quantities["a"], carts.ids, delivery.message.acknowledged)))
    event_id = app.publish(put(3)).id
    app.run_until_idle()

    assert seen == [(3, {event_id}, False)]


def test_a_repeated_event_is_acked_and_its_handler_does_not_run(carts):
    app = App(carts.component(), clock="virtual")
    duplicated(app, times=2)
    app.publish(put(3))
    app.run_until_idle()

    assert (carts.quantities["a"], carts.calls["cart"], outcomes(app)) == (3, 1, ["handled", "duplicate", "duplicate"])
    assert app.bus.outstanding("cart") == 0


def test_a_repeated_event_takes_no_worker_any_time(carts):
    app = App(carts.component(takes=Constant(1.0)), clock="virtual")
    app.hooks.on("handled", lambda name, delivery: delivery.message.duplicate())
    app.publish(put(3))
    app.run_until_idle()

    assert outcomes(app) == ["handled", "duplicate"]
    assert app.now_ns == 1_000_000_000


def test_a_handler_that_raises_leaves_neither_effect_nor_id_and_is_tried_again(carts):
    left = []

    def fail_once():
        if not left:
            left.append((carts.quantities["a"], carts.all("SELECT * FROM edakit_inbox")))
            raise ValueError("after the effect")

    app = App(carts.component(after=fail_once), clock="virtual")
    app.publish(put(3))
    app.run_until_idle(on_error="retry")

    assert left == [(0, [])]
    assert (carts.quantities["a"], outcomes(app)) == (3, ["retried", "handled"])


@pytest.mark.parametrize("point", ["received", "started", "handled", "acked"])
def test_a_worker_that_dies_at_any_point_applies_its_event_once(carts, point):
    app = App(carts.component(), clock="virtual", faults=Faults(CrashPoint("cart", point)))
    app.publish(put(3))
    app.run_until_idle()

    assert (carts.quantities["a"], carts.calls["cart"]) == (3, 1)
    assert app.bus.outstanding("cart") == 0


def test_without_it_a_worker_that_dies_before_the_ack_applies_its_event_twice(carts):
    component = Component("cart")

    @component.on(CartItemAdded)
    def add(event, context):
        with closing(sqlite3.connect(carts.path)) as database, database:
            database.execute(ADD, (event.quantity, event.cart_id))

    app = App(component, clock="virtual", faults=Faults(CrashPoint("cart", "handled")))
    app.publish(put(3))
    app.run_until_idle()

    assert carts.quantities["a"] == 6


def test_ids_survive_the_process(carts):
    with closing_app(App(carts.component(), clock="virtual", seed=1)) as first:
        first.publish(put(3))
        first.run_until_idle()
    with closing_app(App(carts.component(), clock="virtual", seed=1)) as second:  # the same seed gives the same ids
        second.publish(put(3))
        second.run_until_idle()

        assert (carts.quantities["a"], outcomes(second)) == (3, ["duplicate"])


@contextmanager
def closing_app(app):
    try:
        yield app
    finally:
        app.close()


def test_two_components_on_one_file_do_not_hide_each_others_events(carts):
    inbox = carts.inbox()
    app = App(carts.component("cart", inbox=inbox), carts.component("stock", inbox=inbox), clock="virtual")
    duplicated(app)
    app.publish(put(3))
    app.run_until_idle()

    assert carts.quantities["a"] == 6
    assert Counter((row.component, row.outcome) for row in app.trace.deliveries)["stock", "handled"] == 1


def test_an_id_is_unique_for_its_source_only(carts):
    component, seen = Component("mail", inbox=carts.inbox()), []
    component.on(CartItemAdded)(lambda event, context: seen.append(context.source))
    app = App(component, clock="virtual")
    for source in ("till-1", "till-2", "till-1"):
        headers = {f"cloudEvents_{name}": value for name, value in {"specversion": "1.0", "id": "1", "type": "cart.item.added", "source": source}.items()}
        headers["cloudEvents_time"] = "2026-01-01T00:00:00Z"
        publish_raw(app.bus, b'{"cart_id":"a"}', {"content_type": "application/json", "content_encoding": "utf-8", "headers": headers})
    app.run_until_idle()

    assert seen == ["till-1", "till-2"]


@pytest.mark.parametrize("inboxes", [1, 2])
def test_two_deliveries_of_one_event_at_the_same_time_apply_it_once(carts, inboxes):
    """With two inboxes each has a connection of its own, as two processes have: SQLite's lock is what they share."""
    meeting, shared = Meeting(), carts.inbox() if inboxes == 1 else None
    apps = meeting.of(*(App(carts.component(inbox=shared, before=meeting.wait), broker="memory://at-the-same-time") for _ in range(2)))
    apps[0].publish(put(3))
    with ExitStack() as ended:
        for app in apps:
            ended.enter_context(app)
        for app in apps:
            app.wait_until_idle(60)

    assert (carts.quantities["a"], carts.calls["cart"]) == (3, 1)
    assert sorted(outcome for app in apps for outcome in outcomes(app)) == ["duplicate", "handled"]


def test_a_delivery_that_waits_too_long_for_the_first_is_given_back_and_is_a_duplicate_then(carts, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.05)
    meeting, apps = Meeting(), []

    def wait():
        meeting.wait()
        until(lambda: any("retried" in outcomes(app) for app in apps))

    apps.extend(App(carts.component(before=wait, max_attempts=1), broker="memory://given-back") for _ in range(2))
    meeting.of(*apps)
    apps[0].publish(put(3))
    with apps[0], apps[1]:
        for app in apps:
            app.wait_until_idle(60)
        errors = [str(error) for app in apps for error in app._running.servers["cart"].errors]

    found = Counter(outcome for app in apps for outcome in outcomes(app))
    assert (carts.quantities["a"], carts.calls["cart"]) == (3, 1)
    assert (found["handled"], found["duplicate"], found["dead"]) == (1, 1, 0)
    assert errors
    assert all("another program has locked it and did not let go" in error for error in errors)


def test_four_threads_of_one_component_and_two_components_on_one_file_apply_each_event_once(carts):
    names = ("cart", "stock")
    app = App(*(carts.component(name, concurrency=4) for name in names), faults=Faults(duplicate=0.3))
    app.publish_many(put(1, "ab"[number % 2]) for number in range(400))
    with app:
        app.wait_until_idle(60)

    assert carts.quantities == {"a": 400, "b": 400}
    assert carts.calls == {"cart": 400, "stock": 400}


def test_a_locked_database_is_told_and_its_event_is_tried_again_however_often(carts, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.02)
    app = App(carts.component(max_attempts=1))
    with app:
        with locked(carts.path):
            app.publish(put(3))
            until(lambda: outcomes(app).count("retried") >= 2)
        app.wait_until_idle(60)
        errors = app._running.servers["cart"].errors

        assert (
            str(errors[0]) == f"inbox {str(carts.path)!r}: another program has locked it and did not let go; "
            "close that program (a database browser, a backup); nothing was written"
        )
        assert len(errors) == 2, "the first and the last"
        assert app.dead_letters() == []
    assert (carts.quantities["a"], outcomes(app)[-1]) == (3, "handled")
    assert app.trace.deliveries[-1].attempt == 1


def test_whoever_waits_for_the_handler_gets_the_error_of_a_locked_database_and_the_event_is_kept(carts, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.02)
    app = App(carts.component(), clock="virtual")
    app.publish(put(3))
    with locked(carts.path), pytest.raises(InboxError, match="another program has locked it"):
        app.run_until_idle()
    assert app.redrive("cart") == 1
    app.run_until_idle()

    assert carts.quantities["a"] == 3


def test_a_database_that_cannot_be_opened_is_told_before_anything_is_taken(carts, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.02)
    (tmp_path / "text.db").write_text("no database at all" * 100, encoding="utf-8")
    for path, reason in ((tmp_path / "no" / "shop.db", "there is no folder"), (tmp_path, "this is a folder"), (tmp_path / "text.db", "no SQLite database")):
        with pytest.raises(InboxError, match=reason):
            App(carts.component(inbox=DatabaseInbox(path))).start()
    app = App(carts.component())
    with locked(carts.path), pytest.raises(InboxError, match="another program has locked it"):
        app.start()
    with app:
        app.publish(put(3))
        app.wait_until_idle(60)
    assert carts.quantities["a"] == 3


def test_a_full_disk_in_the_middle_of_a_handler_is_no_failure_of_the_handler(carts):
    inbox, big = carts.inbox(), Component("big", max_attempts=1)
    big = Component("big", inbox=inbox, max_attempts=1)

    @big.on(CartItemAdded)
    def keep(event, context):
        context.transaction.execute("INSERT INTO cart VALUES (hex(zeroblob(200000)), 1)")

    database = inbox.open().connection
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages + 10}")
    with App(big) as app:
        app.publish(put())
        until(lambda: "retried" in outcomes(app))
        assert "the disk is full; make room; nothing was written" in str(app._running.servers["big"].errors[0])
        assert carts.ids == set()
        with inbox.open().lock:
            database.execute(f"PRAGMA max_page_count={pages + 1000}")
        app.wait_until_idle(60)
        assert app.dead_letters() == []
    assert len(carts.quantities) == 3


def test_what_sqlite_says_to_the_handler_comes_through_as_it_is_with_its_line(carts):
    component = Component("cart", inbox=carts.inbox(), max_attempts=1)

    @component.on(CartItemAdded)
    def add(event, context):
        context.transaction.execute("INSERT INTO cart VALUES ('a', 1)")

    app = App(component, clock="virtual")
    app.publish(put())
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: cart\.id"):
        app.run_until_idle()

    (letter,) = app.dead_letters("cart")
    assert (letter.line, letter.handler.split(".")[-1]) == (add.__code__.co_firstlineno + 2, "add")
    assert carts.ids == set()


def test_an_async_handler_is_refused_where_it_is_written(carts):
    component = carts.component()
    with pytest.raises(InvalidValueError, match="a handler is 'async def place'; give a plain def"):

        @component.on(type("Placed", (CartItemAdded,), {}))
        async def place(event, context): ...


def test_a_cell_that_runs_again_replaces_its_handler_and_another_handler_is_refused(carts):
    component, seen = Component("cart", inbox=carts.inbox()), []
    for answer in ("old", "new"):

        @component.on(CartItemAdded)
        def add(event, context, answer=answer):
            seen.append(answer)

    with pytest.raises(HandlerConflictError, match=r"with tests\.test_inbox\.test_a_cell_.*add already"):
        component.on(CartItemAdded)(lambda event, context: None)
    app = App(component, clock="virtual")
    app.publish(put())
    app.run_until_idle()

    assert seen == ["new"]


def test_it_waits_for_the_disk_at_each_commit_unless_told_otherwise(carts):
    found = {inbox.sync: inbox.open().connection.execute("PRAGMA synchronous").fetchone()[0] for inbox in (carts.inbox(), carts.inbox(sync="normal"))}

    assert found == {"full": 2, "normal": 1}


def test_it_remembers_the_newest_ids_of_each_component(carts):
    inbox, first = carts.inbox(size=3), []
    quiet = App(carts.component("stock", inbox=inbox), clock="virtual", seed=1)
    quiet.publish(put(10))
    quiet.run_until_idle()
    app = App(carts.component("cart", inbox=inbox), clock="virtual", seed=2)
    app.hooks.on("started", lambda name, delivery: first.append(delivery.message) if not first else None)
    ids = [app.publish(put()).id for _ in range(3)]
    app.run_until_idle()
    first[0].duplicate()
    app.run_until_idle()
    assert outcomes(app) == ["handled"] * 3 + ["duplicate"], "of the newest three it knows each"

    ids.append(app.publish(put()).id)
    app.run_until_idle()
    assert {row[0] for row in carts.all("SELECT id FROM edakit_inbox WHERE component = 'cart'")} == set(ids[1:])
    assert carts.all("SELECT count(*) FROM edakit_inbox WHERE component = 'stock'") == [(1,)], "a busy neighbour makes it forget nothing"
    first[0].duplicate()
    app.run_until_idle()
    assert outcomes(app)[-1] == "handled", "the first of four is forgotten: it is handled again"
    assert carts.quantities["a"] == 10 + 5


def test_the_same_seed_gives_the_same_trace_and_the_same_database(tmp_path):
    def run(number):
        carts = Carts(tmp_path / f"{number}.db")
        faults = Faults(CrashPoint("cart", "handled", nth=0, share=0.2), CrashPoint("cart", "started", nth=0, share=0.1), duplicate=0.3)
        app = App(carts.component(order="per key", concurrency=3), clock="virtual", seed=7, faults=faults)
        app.publish_many(put(1, "ab"[number % 2]) for number in range(200))
        app.run_until_idle(on_error="retry")
        carts.inboxes[0].close()
        return app.trace.deliveries, carts.all("SELECT * FROM edakit_inbox ORDER BY number"), carts.quantities

    first, second = run(1), run(2)

    assert first == second
    assert first[2] == {"a": 100, "b": 100}
    assert {"crashed", "duplicate"} <= {row.outcome for row in first[0]}


def test_a_handler_cannot_end_its_transaction_but_may_undo_a_part_of_it(carts):
    component, refused = Component("cart", inbox=carts.inbox()), []

    @component.on(CartItemAdded)
    def add(event, context):
        for statement in ("COMMIT", " commit", "END", "ROLLBACK", "BEGIN IMMEDIATE", "rollback transaction"):
            with pytest.raises(InvalidValueError, match="none that begins or ends a transaction"):
                context.transaction.execute(statement)
            refused.append(statement)
        context.transaction.execute("SAVEPOINT part")
        context.transaction.execute(ADD, (100, "a"))
        context.transaction.execute("ROLLBACK TO part")
        context.transaction.execute(ADD, (event.quantity, "a"))

    app = App(component, clock="virtual")
    app.publish(put(3))
    app.run_until_idle()

    assert (carts.quantities["a"], len(refused)) == (3, 6)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_handler_that_hides_that_sqlite_has_undone_its_transaction_writes_nothing(carts, goes_on):
    component = Component("cart", inbox=carts.inbox(), max_attempts=1)

    @component.on(CartItemAdded)
    def add(event, context):
        context.transaction.execute(ADD, (3, "a"))
        with pytest.raises(sqlite3.IntegrityError):
            context.transaction.execute("INSERT OR ROLLBACK INTO cart VALUES ('a', 0)")
        if goes_on:
            context.transaction.execute(ADD, (3, "b"))

    app = App(component, clock="virtual")
    app.publish(put())
    with pytest.raises(InvalidValueError, match=r"context\.transaction is 'over'"):
        app.run_until_idle()

    assert (carts.quantities, carts.ids) == ({"a": 0, "b": 0}, set())


def test_a_transaction_writes_nothing_after_its_handler(carts):
    component, kept = Component("cart", inbox=carts.inbox()), []

    @component.on(CartItemAdded)
    def keep(event, context):
        if kept:  # not in the transaction of a later event either
            with pytest.raises(InvalidValueError, match="before the handler returns"):
                kept[0].execute(ADD, (3, "a"))
        kept.append(context.transaction)

    app = App(component, clock="virtual")
    for _ in range(2):
        app.publish(put())
    app.run_until_idle()

    with pytest.raises(InvalidValueError, match="before the handler returns"):
        kept[1].execute(ADD, (3, "a"))
    assert (len(kept), carts.quantities["a"]) == (2, 0)


def test_a_context_without_a_database_says_what_gives_it_one():
    component, found = Component("cart", inbox=Inbox()), []

    @component.on(CartItemAdded)
    def add(event, context):
        with pytest.raises(InvalidValueError, match="give the component an inbox=DatabaseInbox"):
            context.transaction.execute("SELECT 1")
        found.append(event)

    app = App(component, clock="virtual")
    app.publish(put())
    app.run_until_idle()
    assert len(found) == 1


def test_an_app_inside_of_a_handler_does_not_join_the_handlers_transaction(carts):
    inbox = carts.inbox()
    inner = App(carts.component("inner", inbox=inbox), clock="virtual")
    inner.publish(put(5))
    outer = App(carts.component("outer", inbox=inbox, after=inner.run_until_idle), clock="virtual")
    outer.publish(put(3))
    with pytest.raises(InvalidValueError, match="an app that runs inside of a handler"):
        outer.run_until_idle()

    assert carts.quantities["a"] == 0


def test_the_file_of_a_sqlite_broker_is_refused(tmp_path):
    path = tmp_path / "broker.db"
    Bus(f"sqlite:///{path.as_posix()}").close()
    with pytest.raises(InboxError, match="this is the file of a sqlite:// broker; name another file"):
        DatabaseInbox(path).open()


@pytest.mark.parametrize("make", [
    lambda: DatabaseInbox(":memory:"), lambda: DatabaseInbox(""), lambda: DatabaseInbox("shop.db", 0), lambda: DatabaseInbox("shop.db", sync="off"),
])  # fmt: skip
def test_an_inbox_that_makes_no_sense_is_refused(make):
    with pytest.raises(InvalidValueError):
        make()


def test_a_closed_inbox_is_opened_again_when_it_is_used(carts):
    inbox = carts.inbox(sync="normal")
    app = App(carts.component(inbox=inbox), clock="virtual")
    for _ in range(2):
        app.publish(put())
        app.run_until_idle()
        inbox.close()

    assert carts.quantities["a"] == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_of_a_process_that_has_the_file_open_may_not_use_it(carts):
    open_before, again = carts.inbox(), carts.inbox()
    parents = open_before.open().connection
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        for inbox in (open_before, again):
            try:
                App(carts.component(inbox=inbox)).start()
            except ForkedError as error:
                os.write(writing, f"{error}\n".encode())
        open_before.close()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read().count("was opened by process") == 2
    assert parents.execute("SELECT count(*) FROM cart").fetchone() == (2,)
    open_before.close()


def test_it_is_loaded_only_where_it_is_used():
    code = "import sys, edakit; before = 'edakit.inbox' in sys.modules; edakit.DatabaseInbox; print(before, 'edakit.inbox' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False True\n"
