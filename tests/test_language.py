"""Clocks, distributions, tables, traces, addresses and errors."""

from __future__ import annotations

import inspect
import math
import pickle
import statistics
from random import Random

import pytest

import edakit.errors
from edakit import App, Constant, Erlang, Exponential, HyperExponential, LogNormal, SystemClock, Table, Trace, Uniform, VirtualClock
from edakit.clock import to_ns
from edakit.errors import BrokerURLError, CapabilityError, EdakitError, InvalidValueError, VirtualTimeError
from edakit.transports.address import parse_url
from tests.shop_language import AddItem, CartItemAdded, cart_component, recorder


def test_the_system_clock_never_goes_back_and_shows_the_time_of_day():
    clock = SystemClock()
    times = [clock.now_ns() for _ in range(100)]

    assert times == sorted(times)
    assert times[0] > 1_700_000_000 * 10**9


def test_virtual_time_moves_when_told_and_not_back():
    clock = VirtualClock()
    clock.advance_to(5)

    assert clock.now_ns() == 5
    with pytest.raises(VirtualTimeError, match="cannot go back to 4 ns"):
        clock.advance_to(4)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(InvalidValueError, match="zero or more"):
        to_ns(seconds)


@pytest.mark.parametrize(
    "law", [Constant(0.004), Exponential(0.004), Uniform(0.001, 0.007), Erlang(3, 0.004), HyperExponential(0.004, 4.0), LogNormal(0.004, 2.0)]
)
def test_draws_have_the_mean_and_the_variability_that_the_law_promises(law):
    random = Random(7)
    draws = [law.draw(random) / 1e9 for _ in range(40_000)]

    assert statistics.fmean(draws) == pytest.approx(law.mean, rel=0.03)
    assert statistics.pvariance(draws) / law.mean**2 == pytest.approx(law.scv, rel=0.15, abs=1e-12)


@pytest.mark.parametrize("law", [Exponential(0.004), Uniform(0.001, 0.007), Erlang(3, 0.004), HyperExponential(0.004, 4.0), LogNormal(0.004, 2.0)])
def test_draws_are_whole_nanoseconds_and_repeat_with_the_seed(law):
    one, two = ([law.draw(random) for _ in range(50)] for random in (Random(1), Random(1)))

    assert one == two
    assert all(type(draw) is int and draw >= 0 for draw in one)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1), lambda: Exponential(0), lambda: Exponential(math.nan), lambda: Uniform(2, 1), lambda: Erlang(0, 1), lambda: Erlang(2.5, 1),
        lambda: HyperExponential(1, 0.5), lambda: LogNormal(1, 0), lambda: Constant(math.inf),
    ],
)  # fmt: skip
def test_a_law_that_makes_no_sense_is_refused(make):
    with pytest.raises(InvalidValueError, match=r"give a (finite|whole) number"):
        make()


def test_a_table_reads_well_in_text_and_html():
    table = Table(("component", "events", "wait [ms]"), [("cart", 12345, 1.5), ("<b>", 7, None)], title="Waiting", says="The cart waits.")

    assert repr(table) == "Waiting\ncomponent  events  wait [ms]\ncart       12,345        1.5\n<b>             7          -\nThe cart waits."
    assert "<td style='text-align:left'>&lt;b&gt;</td><td>7</td><td>-</td>" in table._repr_html_()
    assert "<th scope='col' style='text-align:left'>component</th><th scope='col'>events</th>" in table._repr_html_()
    assert table.column("events") == [12345, 7]
    with pytest.raises(InvalidValueError, match="one of"):
        table.column("rate")
    with pytest.raises(InvalidValueError, match="one value for each of the columns"):
        Table(("a", "b"), [(1,)])


def test_a_trace_joins_deliveries_with_their_publications():
    app = App(cart_component(), recorder("mail")[0], clock="virtual")
    app.advance(1)
    app.send(AddItem(cart_id="c-1"), due_at=500_000_000)
    app.run_until_idle()
    columns = app.trace.columns()

    assert columns["component"].tolist() == ["cart", "mail"]
    assert columns["name"].tolist() == ["add.item", "cart.item.added"]
    assert columns["due_at"].tolist() == [500_000_000, 1_000_000_000]
    assert columns["published_at"].tolist() == [1_000_000_000, 1_000_000_000]
    assert columns["cause"].tolist() == ["", columns["event"][0]]
    assert set(columns["correlation"]) == {columns["event"][0]}


def test_a_trace_gives_the_columns_that_are_asked_for():
    trace = Trace()
    trace.delivered(("e-1", "mail", 0, 1, "handled", 5, 7, 9))

    columns = trace.columns("done_at", "due_at", "name")

    assert {name: column.tolist() for name, column in columns.items()} == {"done_at": [9], "due_at": [5], "name": [""]}
    with pytest.raises(InvalidValueError, match=r"names is \['wait'\]; give some of \['event', 'component'"):
        trace.columns("done_at", "wait")


def test_an_empty_trace_has_empty_columns():
    assert all(len(column) == 0 for column in Trace().columns().values())


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_a_trace_survives_saving(tmp_path, name):
    app = App(recorder("mail")[0], clock="virtual")
    app.publish(CartItemAdded(cart_id="ünï"))
    app.run_until_idle()
    app.trace.save(tmp_path / name)

    loaded = Trace.load(tmp_path / name)
    assert loaded.digest() == app.trace.digest()
    assert loaded.deliveries == app.trace.deliveries


@pytest.mark.parametrize("line", ["", "no json", "[]", '["handled", 1]', '["published", 1]', "{}", "7"])
def test_a_broken_line_of_a_saved_trace_is_named(tmp_path, line):
    (tmp_path / "trace.jsonl").write_text(f'["published","e","","e","n","s",0,0,1]\n{line}\n')

    with pytest.raises(InvalidValueError, match="line 2 of"):
        Trace.load(tmp_path / "trace.jsonl")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("memory", "this is no URL"),
        ("", "this is no URL"),
        ("mqtt://host", "the scheme 'mqtt' is unknown; known: memory://"),
        ("amqp://one,two", "more than one host"),
        ("amqp://one;amqp://two", "more than one host"),
        ("kafka://guest:secret@host/topic", "write kafka://host:port"),
        ("redis://host", "not offered, because a consumer killed"),
        ("filesystem://", "torn reads"),
        ("memory://user:pw@name", "takes a name at most"),
        ("memory://name/path", "takes a name at most"),
        ("memory://name?colour=red", "the option 'colour' is unknown; known: namespace$"),
        ("memory://name#part", "what follows the # has no meaning here"),
        ("sqlite://shop.db", "'shop.db' would be a host; write sqlite:///shop.db"),
        ("sqlite://", "it names no file"),
        ("sqlite:///:memory:", "it names no file; .* or memory://"),
        ("sqlite:///folder/", "it names no file"),
        ("sqlite:///shop.db?lease=0.1", "the option 'lease' is '0.1'; give seconds, from 0.2 to 3600"),
        ("sqlite:///shop.db?lease=1&lease=2", "the option 'lease' is given twice"),
        ("sqlite:///shop.db?sync=off", "give normal"),
        ("sqlite:///shop.db?namespace=Class.A", "the option 'namespace' is 'Class.A'; give a name of a-z"),
        ("sqlite:///shop.db?lesae=1", "the option 'lesae' is unknown; known: namespace, lease, sync"),
    ],
)
def test_a_broker_that_is_not_offered_is_refused_with_the_reason_and_without_its_password(url, problem):
    with pytest.raises(BrokerURLError, match=problem) as caught:
        App(broker=url)

    assert "secret" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////var/shop/shop.db", "/var/shop/shop.db"),
        ("sqlite:///C:/shop/shop.db", "C:/shop/shop.db"),
        (r"sqlite:///C:\shop\shop.db", r"C:\shop\shop.db"),
        ("sqlite:///my%20shop%23.db?namespace=class-a&lease=2.5&sync=full", "my shop#.db"),
    ],
)
def test_the_path_of_a_sqlite_file_is_read_as_sqlalchemy_reads_it(url, path):
    address = parse_url(url)

    assert (address.scheme, address.name) == ("sqlite", path)
    if "?" in url:
        assert (address.namespace, dict(address.options)) == ("class-a", {"lease": "2.5", "sync": "full"})


@pytest.mark.parametrize("url", ["amqp://host", "sqlite:///shop.db"])
def test_a_broker_that_lives_in_real_time_has_no_virtual_time(url):
    with pytest.raises(CapabilityError, match="run in virtual time; use memory://"):
        App(broker=url, clock="virtual")


def test_the_broker_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("EDAKIT_BROKER", "memory://from-the-environment")

    assert App().broker == "memory://from-the-environment"
    assert parse_url(App().broker).name == "from-the-environment"


ERRORS = {
    "BrokerError": ("b", "p", "a"),
    "BrokerURLError": ("mqtt://", "unknown"),
    "CapabilityError": ("memory://", "x", "y"),
    "ClosedError": ("the app",),
    "DecodeError": ("why",),
    "EventTypeError": ("E", "p"),
    "EventValueError": ("E", "p"),
    "ForkedError": ("the bus", 1, 2),
    "UncertainError": ("b", "p", "a"),
    "HandlerConflictError": ("c", "e", "a", "b"),
    "HandlerCountError": ("c", ["a", "b"]),
    "InboxError": ("b", "p", "a"),
    "InvalidValueError": ("n", 1, "2"),
    "MessageTooLargeError": ("E", 2, 1),
    "PermissionDeniedError": ("b", "u", "publish", "topic t"),
    "QueueFullError": ("q", 1, 0.5),
    "UnknownComponentError": ("a", ["b"]),
    "UnroutableEventError": ("k", ["p"]),
    "VirtualTimeError": ("p",),
    "WaitTimeoutError": ("e", 1.0, "s"),
}


@pytest.mark.parametrize("name", [name for name in edakit.errors.__all__ if name != "EdakitError"])
def test_every_error_has_one_root_says_something_and_survives_pickling(name):
    error = getattr(edakit.errors, name)(*ERRORS[name])
    again = pickle.loads(pickle.dumps(error))

    assert isinstance(error, EdakitError)
    assert (str(again), vars(again)) == (str(error), vars(error))
    assert len(str(error)) > 0
    assert inspect.getdoc(type(error))
