"""An argument of the wrong kind is told where it is given: what was found, and what is expected."""

from __future__ import annotations

import math
import warnings
from contextlib import closing

import numpy as np
import pytest

from edakit import (
    App,
    Backoff,
    Burst,
    Bus,
    ClosedLoop,
    Component,
    Constant,
    CrashPoint,
    DatabaseInbox,
    DayProfile,
    Each,
    Erlang,
    Event,
    Exponential,
    Faults,
    Inbox,
    LogNormal,
    Playback,
    Poisson,
    Steady,
    Table,
    Trace,
    Uniform,
)
from edakit import measuring as m
from edakit.checks import expect, whole
from edakit.errors import BrokerURLError, EdakitError, InvalidValueError, UnknownComponentError
from edakit.measuring import compare, measure, measure_trials, mg1, mgc, mm1, mmc, simulate_queue, sweep_rate, sweep_utilisation
from edakit.measuring.checks import function, positive
from edakit.shop import Shoppers


class Looked(Event):
    """Somebody looked at something."""

    number: int


def look(number, _random):
    return Looked(number=number)


def make_app():
    component = Component("stock", takes=Exponential(0.004))
    component.on(Looked)(lambda event, context: None)
    return App(component, clock="virtual", seed=1)


def looks(rate=50, duration=2.0):
    return Each(Poisson(rate, duration), look)


@pytest.fixture(scope="module")
def run():
    return measure(make_app(), looks())


# What a cell may well hand over by mistake where a number belongs.
NO_NUMBERS = [None, "1", [1.0], (), {}, np.array([1.0, 2.0]), 1j, math.nan, Poisson]


@pytest.mark.parametrize("wrong", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        Constant,
        Exponential,
        lambda x: Uniform(x, 2),
        lambda x: Uniform(0, x),
        lambda x: Erlang(2, x),
        lambda x: Erlang(x, 1),
        lambda x: LogNormal(1, x),
        lambda x: Poisson(x, 1),
        lambda x: Poisson(1, x),
        lambda x: Steady(x, 1),
        lambda x: Burst(x, 1, 0, 1, 2),
        lambda x: Burst(1, 1, x, 1, 2),
        lambda x: ClosedLoop(testers=x),
        lambda x: ClosedLoop(every=x),
        lambda x: DayProfile([x]),
        lambda x: Backoff(base=x),
        lambda x: Backoff(cap=x),
        lambda x: Faults(duplicate=x),
        Inbox,
        lambda x: mm1(service_rate=x),
        lambda x: mm1(service_rate=250).wait(x),
        lambda x: mm1(service_rate=250).wait_law(x),
        lambda x: mm1(service_rate=250).wait_law(100).percentile(x),
        lambda x: mmc(service_rate=250, workers=x),
        lambda x: mg1(service_rate=250, scv=x),
        lambda x: mgc(service_rate=250, workers=2, scv=x),
        lambda x: m.percentile([1.0, 2.0], x),
        lambda x: m.after_warmup([1.0], x),
        lambda x: m.interval([1.0, 2.0], x),
        lambda x: m.read_queue(x, 0.004),
        lambda x: m.read_queue(100, x),
        lambda x: m.read_queue(100, 0.004, 1, x),
        lambda x: m.consumer_of(x, 3, 2),
        lambda x: m.partition_of("c-1", x),
        lambda x: m.share_out(partitions=2, consumers=x),
        lambda x: m.run_crew(workers=x),
        lambda x: m.run_crew(away=x),
        m.sliced_lag,
        lambda x: m.loop_lag(lambda event, context: None, every=x),
        lambda x: m.load_test(make_app, look, "stock", rate=x),
        lambda x: sweep_utilisation([0.5], trials=x),
        lambda x: sweep_utilisation([0.5], workers=x),
        lambda x: sweep_utilisation([0.5], duration=x),
        lambda x: measure(make_app(), looks(), warmup=x),
        lambda x: measure_trials(make_app, looks(), trials=x),
    ],
)
def test_what_is_no_number_is_refused_where_one_is_needed(make, wrong):
    with warnings.catch_warnings(), pytest.raises(InvalidValueError, match="give "):
        warnings.simplefilter("error")
        make(wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: measure(looks(), make_app()),
        lambda: measure(make_app(), Poisson(1, 1)),
        lambda: measure(make_app(), Each),
        lambda: measure(make_app(), looks(), first=Poisson(1, 1)),
        lambda: measure(make_app(), looks(), at=[1.0]),
        lambda: measure(make_app(), looks(), label=5),
        lambda: m.Run(None),
        lambda: measure(make_app(), looks(), at={1.0: "pause"}),
        lambda: measure(make_app(), looks(), at={"1": print}),
        lambda: Each(look, Poisson(1, 1)),
        lambda: Each(Poisson, look),
        lambda: Each(Poisson(1, 1), Looked(number=1)),
        lambda: Each(Poisson(1, 1), lambda number: Looked(number=number)),
        lambda: measure(make_app(), looks(), at={1.0: lambda: None}),
        lambda: measure_trials(lambda seed: make_app(), looks()),
        lambda: sweep_rate(make_app, lambda: 1, [50]),
        lambda: measure_trials(make_app(), looks()),
        lambda: measure_trials(make_app, looks(), seed="a"),
        lambda: compare([1]),
        lambda: compare({"a": None}),
        lambda: simulate_queue(Exponential(1), Poisson(1, 1)),
        lambda: simulate_queue(looks(), Exponential(1)),
        lambda: simulate_queue(Poisson(1, 1), 0.004),
        lambda: sweep_utilisation(["a"]),
        lambda: sweep_utilisation(None),
        lambda: sweep_utilisation([0.5], takes=0.004),
        lambda: sweep_utilisation([0.5], arrivals=Poisson(1, 1)),
        lambda: sweep_utilisation([0.5], seed="a"),
        lambda: sweep_rate(make_app, looks(), [50]),
        lambda: sweep_rate(make_app(), looks, [50]),
        lambda: sweep_rate(make_app, looks, None),
        lambda: m.record(Poisson(1, 1), "day.csv"),
        lambda: m.handlings(None),
        lambda: m.compare_at_once(make_app()),
        lambda: m.since_published(None),
        lambda: m.calmest_lags([look]),
        lambda: m.loop_lag(look, clock="vrtual"),
        lambda: m.run_crew(kills={0: 3}),
        lambda: m.run_crew(kills=[3]),
        lambda: m.partition_of(5, 3),
        lambda: Shoppers(5),
        lambda: Shoppers(Poisson(1, 1), think=5),
        lambda: Shoppers(Poisson(1, 1), journey=["add"]),
    ],
)
def test_what_is_of_another_kind_is_refused_before_anything_begins(make):
    with pytest.raises(InvalidValueError, match="; give "):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: App("stock"),
        lambda: App(Component),
        lambda: App(clock=["virtual"]),
        lambda: App(name=5),
        lambda: App(faults="crash"),
        lambda: App(max_body="1"),
        lambda: make_app().add(None),
        lambda: make_app().configure(clock="fast"),
        lambda: make_app().publish_many(Looked(number=1)),
        lambda: make_app().publish_many(None),
        lambda: make_app().publish_many([None]),
        lambda: make_app().publish(Looked),
        lambda: make_app().send(Looked(number=1)),
        lambda: make_app().wait_for(None),
        lambda: make_app().wait_for(5),
        lambda: make_app().wait_for(App),
        lambda: make_app().wait_for(Looked, timeout="1"),
        lambda: make_app().wait_until_idle(timeout=None),
        lambda: make_app().call_at(5, None),
        lambda: make_app().run_until_idle(on_error=["raise"]),
        lambda: Component(5),
        lambda: Component("stock", concurrency=None),
        lambda: Component("stock", max_attempts=2.0),
        lambda: Component("stock", order=False),
        lambda: Component("stock", ack=["after"]),
        lambda: Component("stock", takes=Exponential),
        lambda: Component("stock", inbox=5),
        lambda: Component("stock", inbox=Inbox),
        lambda: Component("stock", backoff=5),
        lambda: Component("stock", bindings="cart.#"),
        lambda: Component("stock", bindings=[Looked]),
        lambda: Component("stock", bindings=None),
        lambda: Component("stock").on("looked"),
        lambda: DatabaseInbox(None),
        lambda: DatabaseInbox("shop.db", sync=["full"]),
        lambda: CrashPoint(Component("stock"), "started"),
        lambda: CrashPoint("stock", "started", nth=None),
        lambda: CrashPoint("stock", "started", nth=0, share="1"),
        lambda: Faults("stock"),
        lambda: Faults(delayed=0.5, delay=5),
        lambda: Faults(components="stock"),
        lambda: Table(None, []),
        lambda: Table(["events"], None),
        lambda: Table(["events"], [5]),
        lambda: Table(["events"], []).column(["events"]),
        lambda: Trace().columns(["event"]),
    ],
)
def test_what_an_app_is_made_of_is_looked_at_where_it_is_given(make):
    with pytest.raises(InvalidValueError, match="; give "):
        make()


@pytest.mark.parametrize("wrong", [5, b"amqp://anna:secret@host", None], ids=repr)
def test_the_address_of_a_broker_is_a_text(wrong):
    with pytest.raises(BrokerURLError, match=f"this is a {type(wrong).__name__}") as caught:
        Bus(wrong)

    assert "secret" not in str(caught.value)


def test_a_component_is_looked_for_by_its_name():
    with pytest.raises(UnknownComponentError, match="known: stock"):
        make_app().pause(["stock"])


@pytest.mark.parametrize("offset", ["earliest", None, -1], ids=repr)
def test_a_log_is_read_from_a_number_on(tmp_path, offset):
    bus = Bus(f"sqlite:///{tmp_path / 'log.db'}")
    with closing(bus), pytest.raises(InvalidValueError, match="offset is"):
        bus.replay(offset, Looked)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("cut off.gz", lambda data: data[: len(data) // 2]),
        ("damaged.gz", lambda data: data[:30] + bytes(20) + data[50:]),
        ("not compressed.gz", lambda data: b'["published"]'),
        ("empty.gz", lambda data: b"\x1f"),
        ("latin.jsonl", lambda data: b'["published","\xe9t\xe9"]'),
        ("compressed.jsonl", lambda data: data),
        ("short.jsonl", lambda data: b'["delivered",1,2]'),
        ("deep.jsonl", lambda data: b"[" * 100_000),
    ],
)
def test_a_trace_that_is_damaged_is_refused_with_its_name(run, tmp_path, name, spoil):
    run.trace.save(tmp_path / "whole.gz")
    path = tmp_path / name
    path.write_bytes(spoil((tmp_path / "whole.gz").read_bytes()))

    with pytest.raises(InvalidValueError, match=f"(?s){name}.*Trace.save wrote"):
        Trace.load(path)


@pytest.mark.parametrize("wrong", ["abc", None, [[1], [2, 3]], {"a": 1}, [1j], object()], ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize("ask", [m.mean, m.ecdf, m.interval, lambda x: m.percentile(x, 50), lambda x: m.throughput([1], x), lambda x: m.backlog([0], [1], x)])
def test_what_holds_no_numbers_is_refused_by_a_statistic(ask, wrong):
    with warnings.catch_warnings(), pytest.raises(InvalidValueError, match="; give "):
        warnings.simplefilter("error")
        ask(wrong)


def test_numbers_may_come_one_by_one():
    assert m.mean(x for x in (1, 2, 3)) == 2
    assert DayProfile(x for x in (1, 2)).duration == 7200
    assert sweep_utilisation((x for x in (0.5,)), trials=2, duration=10).levels == (0.5,)


def test_whole_numbers_may_be_those_of_numpy():
    two = np.int64(2)

    assert ClosedLoop(testers=two).testers == 2
    assert Erlang(two, 1.0).scv == 0.5
    assert len(measure_trials(make_app, looks(duration=0.2), trials=two)) == 2
    assert sweep_utilisation([0.5], trials=two, workers=two, duration=5).waits.shape == (1, 2)
    assert m.run_crew(workers=two, takes=np.float64(0.1), orders=3).over_at == 0.2


@pytest.mark.parametrize(
    "ask", [lambda run: run.count("handlet"), lambda run: run.end_to_end(5), lambda run: run.backlog_at([math.nan]), lambda run: run.percentile("99")]
)
def test_a_run_refuses_what_it_cannot_answer(run, ask):
    with pytest.raises(InvalidValueError, match="; give "):
        ask(run)


@pytest.mark.parametrize("name", ["stok", None, ["stock"]], ids=repr)
def test_a_component_that_is_none_is_answered_with_those_that_are_known(run, name):
    with pytest.raises(EdakitError, match=r"known: stock"):
        run.component(name)


def test_a_run_of_nothing_has_no_throughput_in_the_table():
    assert compare({"nothing": m.Run(Trace())}).column("throughput [1/s]") == [None]


def test_a_recording_whose_messages_come_all_at_once_can_be_measured(tmp_path):
    path = tmp_path / "one.csv"
    m.record(Each(Steady(rate=1, duration=0.5), look), path)

    assert measure(make_app(), Playback(path, [Looked])).component("stock").events == 1


@pytest.mark.parametrize("speedup", [1e-12, 1e-300, "6", None, math.nan])
def test_a_recording_is_not_played_back_for_longer_than_times_can_tell(tmp_path, speedup):
    path = tmp_path / "few.csv"
    m.record(Each(Steady(rate=10, duration=0.5), look), path)

    with pytest.raises(InvalidValueError, match="speedup is"):
        Playback(path, [Looked], speedup=speedup)


@pytest.mark.parametrize("types", [["looked"], [int], 5, "looked", None], ids=repr)
def test_a_recording_needs_the_classes_of_its_messages(tmp_path, types):
    path = tmp_path / "few.csv"
    m.record(Each(Steady(rate=10, duration=0.5), look), path)

    with pytest.raises(InvalidValueError, match="types is"):
        Playback(path, types)


def test_what_was_found_is_told_in_a_line_however_long_it_is():
    text = str(InvalidValueError("values", [0.5] * 300, "less"))

    assert "\n" not in text
    assert len(text) < 400
    assert text.endswith("…; give less")


def test_the_checks_let_pass_what_is_right_and_name_what_is_not():
    expect("a", 1, int, "a number")
    function("a", print, "a function", takes=1)
    function("a", Poisson, "a function", takes=2)
    function("a", min, "a function", takes=0)  # says nothing of its arguments
    positive("a", np.float64(2))
    whole("a", np.int64(0), least=0)
    for check in (
        lambda: expect("a", int, int, "1"),
        lambda: function("a", 1, "x", takes=1),
        lambda: function("a", look, "x", takes=1),
        lambda: positive("a", 0),
        lambda: whole("a", 1.0),
    ):
        with pytest.raises(InvalidValueError, match="a is "):
            check()
