"""`edakit worker` and `edakit shop state`: components as processes, on sqlite:// here, and on RabbitMQ and Kafka in tests/chaos."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from edakit import App, Bus
from edakit.cli import main
from edakit.shop import AddItem, CheckOut, OrderReturned, ProductPriceChanged, RemoveItem, build_shop, state_hash
from edakit.shop.app import COMPONENTS
from edakit.shop.errors import WorkerEndedError
from edakit.shop.events import OrderLine
from edakit.shop.journal import past
from edakit.shop.owner import one_at_a_time
from edakit.shop.processes import WorkerProcesses, dealt
from edakit.shop.restore import restore
from edakit.worker import _Signals

ROOT = Path(__file__).parents[1]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could answer")
OWN = """
import threading, time
from edakit import Component, Event

class Told(Event):
    text: str

ears = Component("ears")
words = []

@ears.on(Told)
def listen(event, context):
    if event.text == "long":
        print("begun", flush=True)
        time.sleep(1)
    if event.text == "for ever":
        print("begun", flush=True)
        time.sleep(60)
    if event.text == "end it all":
        raise BaseException("past all handlers")
    words.append(event.text)
    print(f"heard {event.text}", flush=True)

not_one = 42
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own, in the current folder; the language in it."""
    (tmp_path / "radio.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "radio", raising=False)
    import radio  # noqa: PLC0415 (it is written a line above)

    return radio


@contextmanager
def worker(*words, broker, status=0, said=None):
    """Run a worker until the block ends; it must end with *status*, unless that is None. What it says goes to a pipe, or to the file *said*."""
    command = [sys.executable, "-m", "edakit", "worker", *words]
    environment = os.environ | {"EDAKIT_BROKER": broker, "PYTHONPATH": str(ROOT)}
    with ExitStack() as files:
        output = files.enter_context(said.open("w")) if said else subprocess.PIPE
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.PIPE, text=True)
    try:
        yield process
        if process.poll() is None:
            process.terminate()
        assert process.wait(60) == status or status is None
    finally:
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()


def line(process):
    return process.stdout.readline().strip()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@POSIX
def test_a_worker_says_what_it_serves_and_where_and_in_the_end_what_it_did(url):
    with worker("cart", "orders", "stock", "payment", broker=url) as process:
        assert line(process) == f"edakit worker: cart, orders, stock, payment ready at {url}"
        with build_shop(components=(), broker=url) as shoppers:
            shoppers.send(AddItem(cart_id="c-1", product_id="1001"))
            shoppers.send(CheckOut(cart_id="c-1"))
            until(lambda: "order.confirmed" in [each.context.type for each in past(shoppers.bus)])
            until(lambda: not shoppers.bus.outstanding("cart", "orders", "stock", "payment"))
        process.send_signal(signal.SIGTERM)
        assert line(process) == "edakit worker: cart, orders, stock, payment stopped; 6 handled, 0 retried, 0 dead"
        assert process.wait(60) == 0


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_may_finish_and_what_waits_goes_back(url, own, number):
    with worker("radio:ears", broker=url) as process:
        assert "ears ready at" in line(process)
        with App(broker=url) as outside:
            outside.publish(own.Told(text="long"))
            assert line(process) == "begun"
            outside.publish(own.Told(text="later"))
            process.send_signal(number)
            assert process.wait(60) == 0
            assert process.stdout.read().splitlines() == ["heard long", "edakit worker: ears stopped; 1 handled, 0 retried, 0 dead"]
            assert outside.bus.backlog("ears") == 1


@POSIX
def test_a_handler_that_does_not_finish_is_left_behind_and_its_event_goes_back(url, own):
    with worker("radio:ears", broker=url, status=1) as process, App(broker=url) as outside:
        assert "ears ready at" in line(process)
        outside.publish(own.Told(text="for ever"))
        assert line(process) == "begun"
        process.terminate()
        assert process.wait(60) == 1
        assert process.stderr.read() == (
            "edakit worker: a handler did not finish within 4 s (still running: ears); what it had goes back and is handled again\n"
        )
        assert outside.bus.backlog("ears") == 1


@POSIX
def test_a_second_ctrl_c_is_the_end_at_once(url, own):
    with worker("radio:ears", broker=url, status=-signal.SIGINT) as process:
        assert "ears ready at" in line(process)
        with App(broker=url) as outside:
            outside.publish(own.Told(text="for ever"))
            assert line(process) == "begun"
        process.send_signal(signal.SIGINT)
        # The first one is answered by leaving the second one to the system.
        until(lambda: not _catches(process.pid, signal.SIGINT))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT
        assert process.stdout.read() == ""


@POSIX
def test_two_signals_that_come_together_ask_for_one_end():
    signals, both = _Signals(), {signal.SIGINT, signal.SIGTERM}
    signals.serving = True

    with signals.caught():
        signal.pthread_sigmask(signal.SIG_BLOCK, both)
        for number in both:
            signal.pthread_kill(threading.main_thread().ident, number)  # os.kill would give it to any thread that does not block it, at once
        signal.pthread_sigmask(signal.SIG_UNBLOCK, both)  # here Python would tell of a signal that was ignored "due to race condition"

    assert signals.asked.is_set()


def _catches(pid, number):
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells which signals a process catches")
    status = dict(each.split(":", 1) for each in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


@POSIX
def test_a_worker_that_can_serve_no_more_says_so_and_ends(url, own):
    with worker("radio:ears", broker=url, status=1) as process:
        assert "ears ready at" in line(process)
        with App(broker=url) as outside:
            outside.publish(own.Told(text="end it all"))
        assert process.wait(60) == 1
        assert process.stderr.read() == (
            "edakit worker: it can serve no more (ears: BaseException: past all handlers); "
            "what it had not acked goes back, so start it again when that is mended\n"
        )


@POSIX
def test_a_component_of_ones_own_runs_in_as_many_processes_as_are_started(url, own):
    with worker("radio:ears", broker=url) as first, worker("radio:ears", "--concurrency", "2", broker=url) as second:
        assert "ready" in line(first)
        assert "ready" in line(second)


@POSIX
def test_a_second_worker_of_the_shop_stands_by_and_takes_over_what_a_killed_one_kept(url):
    url += "?lease=2"
    with worker("cart", broker=url, status=-signal.SIGKILL) as first, build_shop(components=(), broker=url) as shoppers:
        assert "cart ready at" in line(first)
        with worker("cart", broker=url) as second:
            assert line(second) == "edakit worker: another process serves cart; this one stands by"
            shoppers.send(AddItem(cart_id="c-1", product_id="1001", quantity=2))
            until(lambda: "cart.item.added" in [each.context.type for each in past(shoppers.bus)])
            first.kill()
            assert "cart ready at" in line(second)
            shoppers.send(CheckOut(cart_id="c-1"))
            until(lambda: "checkout.started" in [each.context.type for each in past(shoppers.bus)])

        [started] = [each.event for each in past(shoppers.bus) if each.context.type == "checkout.started"]
        assert [(each.product_id, each.quantity) for each in started.lines] == [("1001", 2)]


@POSIX
def test_of_two_that_stand_by_one_takes_over_and_then_the_other(url, tmp_path):
    url += "?lease=2"
    said = [tmp_path / "second.txt", tmp_path / "third.txt"]

    def ready():
        return [number for number, file in enumerate(said) if "ready at" in file.read_text(encoding="utf-8")]

    with worker("cart", broker=url, status=-signal.SIGKILL) as first, closing(Bus(url)) as bus:
        assert "cart ready at" in line(first)
        with ExitStack() as ended:
            others = [ended.enter_context(worker("cart", broker=url, status=None, said=file)) for file in said]
            until(lambda: all("stands by" in file.read_text(encoding="utf-8") for file in said))
            first.kill()
            until(ready)
            [quicker] = ready()
            assert bus.link.consumers("cart") == 1
            others[quicker].kill()
            until(lambda: len(ready()) == 2)
            others[quicker].wait()
            until(lambda: bus.link.consumers("cart") == 1)


@pytest.mark.parametrize(("broker", "times"), [("sqlite", 5), ("rabbitmq", 5), ("kafka", 2)])
def test_one_process_at_a_time_begins_to_serve_a_component(broker, times, url, request):
    if broker != "sqlite":
        url = f"{request.getfixturevalue(broker)}?namespace=t{uuid4().hex[:16]}"
    inside, seen = [], []
    with closing(Bus(url)) as bus:
        for name in ("cart", "mail", "stock"):
            bus.link.declare(name)

    def begin(names):
        with closing(Bus(url)) as bus:
            for _ in range(times):
                with one_at_a_time(bus, names):
                    inside.append(names)
                    time.sleep(0.005)  # for as long as it takes the others to come in, could they
                    seen.append(len(inside))
                    inside.remove(names)

    threads = [threading.Thread(target=begin, args=(names,)) for names in (["cart", "mail"], ["mail", "stock"], ["stock", "mail"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert seen == [1] * 3 * times


def busy_day(shop):
    """Have everything happen that can happen in a shop: of three orders one is confirmed and comes back, one is not in stock, one is not paid."""
    shop.publish(ProductPriceChanged(product_id="1002", price=5))
    for cart_id, product_id, quantity in [("a", "1001", 3), ("a", "1002", 1), ("b", "1001", 1_000), ("c", "1002", 2), ("d", "1003", 4), ("d", "1004", 1)]:
        shop.send(AddItem(cart_id=cart_id, product_id=product_id, quantity=quantity))
    shop.send(RemoveItem(cart_id="d", product_id="1003"))
    for cart_id in "abc":
        shop.send(CheckOut(cart_id=cart_id))
    shop.run_until_idle()
    confirmed = next(order for order in shop.state.orders.orders.values() if order.status == "confirmed")
    shop.publish(OrderReturned(order_id=confirmed.order_id, lines=confirmed.lines, amount=confirmed.total))
    shop.publish(OrderReturned(order_id="of last year", lines=(OrderLine(product_id="1001", quantity=1, price=100),), amount=100))
    shop.run_until_idle()


def shop_on(url, **options):
    return build_shop(broker=url, takes={}, stock=100, payment_failure=0.5, seed=5, **options)


def kept(shop):
    """Return everything that the components keep, in a form that can be compared."""
    state = shop.state
    return {
        "catalogue": state.catalogue.prices(),
        "cart": (dict(state.cart.lines), state.cart.checkouts),
        "orders": state.orders.orders,
        "stock": (+state.stock.sold, state.stock.reserved, {order_id: state.stock.reserve(order_id, ()) for order_id in state.orders.orders}),
        "payment": (state.payment.charged, state.payment.refunded),
        "mail": state.mail.letters,
        "product_list": state.product_list.prices,
        "product_detail": state.product_detail.prices,
        "cart_view": (state.cart_view.carts.lines, state.cart_view.prices),
        "badge": state.badge.pieces.most(10),
        "best_sellers": state.best_sellers.pieces.most(10),
    }


def test_each_component_is_rebuilt_from_what_was_published(url):
    with shop_on(url) as shop:
        shop.stop()
        busy_day(shop)
        again = shop_on("memory://")
        number = restore(again, COMPONENTS, past(shop.bus))

    assert sorted(order.status for order in shop.state.orders.orders.values()) == ["cancelled", "cancelled", "returned", "returned"]
    assert len(shop.trace.publications) == number
    for component, was in kept(shop).items():
        assert kept(again)[component] == was, component
    assert state_hash(again) == state_hash(shop)


def test_a_command_that_was_answered_and_not_acked_is_not_answered_again(url):
    with shop_on(url) as shop:
        shop.stop()
        shop.send(AddItem(cart_id="c-1", product_id="1001"))
        shop.run_until_idle()
        [command, _] = past(shop.bus)
        again = shop_on("memory://")
        restore(again, COMPONENTS, past(shop.bus))

    assert command.context.id in again.components["cart"].inbox


def test_a_consequence_that_was_published_twice_counts_once(url):
    with shop_on(url, components=["cart"]) as shop:
        shop.stop()
        cart = shop.components["cart"]
        cart.inbox = None
        shop.send(AddItem(cart_id="c-1", product_id="1001"))
        shop.run_until_idle()
        [command, _] = past(shop.bus)
        with closing(Bus(url)) as bus:
            command.context.publisher, command.context.component = bus, "cart"
            cart.handlers["add.item"].function(command.event, command.context)

        assert sum(each.name == "cart.item.added" for each in shop.bus.link.replay()) == 2
        assert [each.context.type for each in past(shop.bus)] == ["add.item", "cart.item.added"]


def test_the_state_of_a_shop_is_printed_though_nobody_serves(url, capsys):
    with shop_on(url) as shop:
        shop.stop()
        busy_day(shop)
        expected, number = state_hash(shop), len(shop.trace.publications)

    assert main(["shop", "state", "--broker", url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"events {number}",
        "carts  1 with something in them",
        "orders 2 cancelled, 2 returned",
        f"state  {expected}",
    ]


def test_a_look_at_a_file_that_is_not_there_says_so_and_makes_none(tmp_path, url, capsys):
    assert main(["shop", "state", "--broker", url]) == 2
    assert capsys.readouterr().err == f"edakit shop: {url}: there is no such file; correct the name; workers make the file when they start\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["worker", "stok"], "'stok' is no component of the shop; known are catalogue, cart,"),
        (["worker", "cart", "--broker", "memory://"], "memory:// cannot do this: share events with another process; use sqlite:// or amqp://"),
        (["worker", "cart", "cart"], "a component is 'cart'; give a name that is not taken yet"),
        (["worker", "cart", "--concurrency", "0"], "--concurrency is 0; give a whole number of 1 or more"),
        (["worker", "cart", "--catalogue", "nowhere.csv"], "nowhere.csv: no such file or directory"),
        (["worker", "cart", "--broker", "sqlite:///no/such/folder/shop.db"], "shop.db"),
        (["worker", "no_such_module:mail"], "'no_such_module:mail' cannot be imported (ModuleNotFoundError: No module named 'no_such_module')"),
        (["worker", "radio:eyes"], "'radio:eyes' is no Component: radio has no such name"),
        (["worker", "radio:not_one"], "'radio:not_one' is no Component: radio has not_one = 42"),
        (["worker", "radio:"], "'radio:' is no Component: radio has no such name"),
        (["shop", "state", "--broker", "memory://"], "memory:// cannot do this: look at the shop of another process"),
        (["shop", "state", "--broker", "redis://here"], "not offered, because"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_cannot_be_done_is_one_sentence_and_status_2(words, message, url, capsys, monkeypatch):
    monkeypatch.setenv("EDAKIT_BROKER", url)

    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_broker_that_is_not_there_is_one_sentence_and_status_2(capsys):
    assert main(["worker", "cart", "--broker", "amqp://ann:secret@127.0.0.1:1"]) == 2

    said = capsys.readouterr().err
    assert "RabbitMQ at 127.0.0.1:1: it does not answer" in said
    assert "secret" not in said


def test_four_workers_have_one_component_each_that_decides_and_share_the_others():
    assert [names[0] for names in dealt(4)] == ["cart", "orders", "stock", "payment"]
    assert sorted(name for names in dealt(4) for name in names) == sorted(COMPONENTS)


@POSIX
def test_worker_processes_that_cannot_begin_are_an_error_and_none_is_left(url, tmp_path, capfd):
    with pytest.raises(WorkerEndedError, match="ended with status 2 and has said why"), WorkerProcesses(url, tmp_path / "nowhere.csv", 2):
        pytest.fail("they did not begin")

    assert "nowhere.csv" in capfd.readouterr().err


@POSIX
def test_worker_processes_do_not_stand_by_for_others(url, tmp_path):
    catalogue = tmp_path / "catalogue.csv"
    build_shop().state.catalogue.write(catalogue)

    with worker("cart", broker=url) as process:
        assert "ready" in line(process)
        with pytest.raises(WorkerEndedError, match="stands by, because another process serves them"), WorkerProcesses(url, catalogue, 1):
            pytest.fail("they did not begin")
