"""What a run has shown, read from traces written by hand: each number can be checked with a pencil."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from edakit import App, Backoff, Component, Exponential, Trace
from edakit.clock import NS
from edakit.errors import InvalidValueError, UnknownComponentError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.lindley import little
from edakit.measuring.rows import ENDS, rows_of
from edakit.measuring.run import COLUMNS, Run
from edakit.measuring.workload import Poisson
from tests.shop_language import AddItem, CartItemAdded, OrderPlaced, cart_component

MS = 1_000_000  # [ns]


def trace(publications, deliveries, begin=0):
    """Return a trace of (event, cause, correlation, name, due, published, queues) and (event, component, outcome, started, done), times in ms."""
    found = Trace()
    for event, cause, correlation, name, due, published, queues in publications:
        found.published((event, cause, correlation, name, "app", begin + due * MS, begin + published * MS, queues))
    for event, component, outcome, started, done in deliveries:
        found.delivered((event, component, 0, 1, outcome, begin + started * MS, begin + started * MS, begin + done * MS))
    return found


def two_orders(begin=0):
    return trace(
        [
            ("e-1", "", "e-1", "check.out", 0, 2, 1),
            ("e-2", "e-1", "e-1", "order.placed", 8, 8, 2),
            ("e-3", "", "e-3", "check.out", 1000, 1000, 1),
            ("e-4", "e-3", "e-3", "order.placed", 1005, 1005, 2),
            ("e-5", "", "e-5", "page.viewed", 1500, 1500, 0),
        ],
        [
            ("e-1", "orders", "handled", 4, 8),
            ("e-2", "mail", "retried", 8, 9),
            ("e-2", "stock", "handled", 10, 20),
            ("e-2", "mail", "handled", 50, 51),
            ("e-3", "orders", "handled", 1000, 1005),
            ("e-4", "stock", "dead", 1005, 1006),
            ("e-4", "mail", "handled", 1005, 1007),
            ("e-4", "mail", "handled", 1010, 1014),
        ],
        begin,
    )


def milli(values):
    return [round(value * 1e3, 6) for value in values.tolist()]


@pytest.mark.parametrize("begin", [0, 1_700_000_000 * NS])
def test_latency_counts_from_when_an_event_was_due_waiting_from_its_publication(begin):
    run = Run(two_orders(begin))

    assert milli(run.latency) == [8, 12, 43, 5, 2, 9]
    assert milli(run.waiting) == [2, 2, 42, 0, 0, 5]
    assert milli(run.service) == [4, 10, 1, 5, 2, 4]
    assert milli(run.due_at) == [0, 8, 8, 1000, 1005, 1005]
    assert milli(run.done_at) == [8, 20, 51, 1005, 1007, 1014]
    assert (run.percentile(50), run.percentile(99)) == (0.008, 0.043)


def test_throughput_counts_each_event_once_however_many_handled_it():
    run = Run(two_orders(), length=2)

    assert (run.events, run.duration) == (5, 2)
    assert run.throughput == 4 / 2
    assert run.throughput_in([0, 0.020, 0.060, 2]).tolist() == pytest.approx([1 / 0.020, 1 / 0.040, 2 / 1.94])


def test_the_account_names_what_was_lost_handled_twice_given_up_and_published_to_nobody():
    run = Run(two_orders())

    assert (run.lost, run.twice, run.dead, run.refused, run.unrouted) == (0, 1, 1, 0, 1)
    assert (run.count("handled"), run.count("retried"), run.count("crashed")) == (6, 1, 0)


def test_what_was_due_in_the_warm_up_counts_in_the_account_only():
    run = Run(two_orders(), length=2, warmup=0.5)

    assert milli(run.latency) == [5, 2, 9]
    assert milli(run.due_at) == [1000, 1005, 1005]
    assert run.events == 3
    assert run.throughput == 2 / 1.5
    assert (run.lost, run.twice, run.dead, run.unrouted) == (0, 1, 1, 1)
    assert run.component("mail").events == 1
    with pytest.raises(InvalidValueError, match="a time is -1"):
        Run(two_orders(), warmup=-1).latency  # noqa: B018 (it is computed when it is read)


def test_a_component_has_numbers_of_its_own():
    run = Run(two_orders(), length=2)
    mail, stock = run.component("mail"), run.component("stock")

    assert run.components == ["orders", "mail", "stock"]
    assert (mail.label, milli(mail.latency), milli(mail.service)) == ("mail", [43, 2, 9], [1, 2, 4])
    assert (mail.events, mail.throughput, mail.twice, mail.dead) == (2, 1, 1, 0)
    assert (stock.events, stock.throughput, stock.twice, stock.dead) == (1, 0.5, 0, 1)
    with pytest.raises(UnknownComponentError, match="payment"):
        run.component("payment")


def test_an_event_that_a_queue_took_and_nobody_ended_is_lost():
    publications = [(f"e-{n}", "", f"e-{n}", "order.placed", n, n, 2) for n in range(4)]
    deliveries = [(f"e-{n}", "stock", "handled", n, n + 1) for n in range(4)] + [("e-0", "mail", "duplicate", 5, 5), ("e-1", "mail", "ignored", 6, 6)]

    assert Run(trace(publications, deliveries)).lost == 2
    assert Run(trace(publications, deliveries), waiting_events=1).lost == 1
    assert Run(trace(publications, [*deliveries, ("e-2", "mail", "crashed", 7, 8), ("e-3", "mail", "retried", 7, 8)])).lost == 2
    assert Run(trace(publications, [*deliveries, ("e-2", "mail", "dead", 7, 8), ("e-3", "mail", "handled", 7, 8)])).lost == 0
    # Handled twice by one component is not handled by two.
    assert Run(trace(publications, [*deliveries, ("e-2", "stock", "handled", 7, 8)])).lost == 2
    # A second copy that still waits makes up for nothing that is missing, and leaves no less than none.
    assert Run(trace(publications, deliveries), waiting_events=3).lost == 0


def test_what_a_full_queue_refuses_is_neither_lost_nor_unrouted():
    ends = [("e-1", "stock", "refused", 1, 1), ("e-2", "stock", "handled", 1, 2)]
    newest = trace([("e-1", "", "e-1", "order.placed", 1, 1, 0), ("e-2", "", "e-2", "order.placed", 0, 0, 1)], ends)
    oldest = trace([("e-1", "", "e-1", "order.placed", 0, 0, 1), ("e-2", "", "e-2", "order.placed", 1, 1, 1)], ends)

    for run in (Run(newest, drops_newest=frozenset({"stock"})), Run(oldest)):
        assert (run.refused, run.unrouted, run.lost) == (1, 0, 0)
    assert Run(newest, drops_newest=frozenset({"stock"}), turned_away=4).refused == 5
    assert Run(oldest).component("stock").refused == 1


def test_what_another_queue_took_is_not_made_up_for_by_one_that_dropped_it():
    both = trace([("e-1", "", "e-1", "order.placed", 0, 0, 1)], [("e-1", "stock", "refused", 0, 0)])

    assert Run(both, drops_newest=frozenset({"stock"})).lost == 1


def test_where_the_broker_cannot_tell_how_many_queues_took_an_event_none_is_called_lost_or_unrouted():
    run = Run(trace([("e-1", "", "e-1", "order.placed", 0, 0, -1), ("e-2", "", "e-2", "order.placed", 0, 0, 1)], []))

    assert (run.lost, run.unrouted) == (1, 0)


def test_where_the_broker_cannot_tell_what_a_component_was_to_get_and_never_ended_is_lost():
    both = trace([(f"e-{n}", "", f"e-{n}", "order.placed", 0, 0, -1) for n in range(3)], [("e-0", "stock", "handled", 0, 1)])

    assert Run(both, takers={"order.placed": 1}).lost == 2
    assert Run(both, takers={"order.placed": 1}, waiting_events=1).lost == 1
    assert Run(both, takers={"order.placed": 1}).backlog_at([1]).tolist() == [2]


def test_events_of_another_process_stay_different_events():
    elsewhere = trace([], [("x-1", "stock", "handled", 3, 5), ("x-2", "stock", "handled", 5, 9), ("x-1", "mail", "handled", 5, 6)])
    run = Run(elsewhere, length=1, start_ns=0)

    assert rows_of(elsewhere).event.tolist() == [0, 1, 0]
    assert (run.throughput, run.twice, run.lost, run.events) == (2, 0, 0, 0)
    assert milli(run.latency) == [2, 4, 1]


def test_a_run_begins_with_its_first_event_and_ends_with_its_last_unless_told():
    assert Run(two_orders(begin=7 * NS)).start_ns == 7 * NS
    assert Run(two_orders()).duration == 1.5
    assert Run(two_orders(), length=3).duration == 3
    assert Run(two_orders(), length=3, interrupted=True).duration == 1.5
    assert Run(two_orders(begin=NS), start_ns=0).due_at.tolist()[0] == 1


def test_the_backlog_of_a_run_is_what_was_due_and_not_over():
    run = Run(two_orders())

    assert run.backlog_at([-0.001, 0, 0.008, 0.020, 0.050, 0.051, 1.005, 1.006, 1.007]).tolist() == [0, 1, 2, 1, 1, 0, 2, 1, 0]
    assert run.component("mail").backlog_at([0.008, 0.050, 0.051, 1.006, 1.012]).tolist() == [1, 1, 0, 1, 0]
    assert Run(trace([("e-1", "", "e-1", "order.placed", 0, 0, 2)], [("e-1", "stock", "handled", 1, 2)])).backlog_at([0, 5]).tolist() == [2, 1]


def test_end_to_end_is_from_the_first_event_of_a_chain_to_the_publication_that_is_asked_for():
    run = Run(two_orders())

    assert milli(run.end_to_end(OrderPlaced)) == milli(run.end_to_end("order.placed")) == [8, 5]
    assert milli(run.end_to_end("check.out")) == [2, 0]
    assert milli(Run(two_orders(), warmup=0.5).end_to_end("order.placed")) == [5]
    assert run.end_to_end("parcel.shipped").size == 0


def test_a_run_shows_itself_in_one_line():
    run = Run(two_orders(), length=2, seed=7, label="Two <orders>", deaths=("stock: no shelf (in keep, line 3)",))

    assert run.table.columns == COLUMNS
    assert run.table.rows == [[5, 2.0, 8.0, 43.0, 43.0, 0, 1, 1, 1]]
    assert repr(run) == (
        "Two <orders>\n"
        "events  throughput [1/s]  p50 [ms]  p95 [ms]  p99 [ms]  lost  twice  dead  unrouted\n"
        "     5               2.0       8.0      43.0      43.0     0      1     1         1\n"
        "Dead: stock: no shelf (in keep, line 3)\n"
        "seed 7, virtual clock, memory://"
    )
    assert "<caption>Two &lt;orders&gt;</caption>" in run._repr_html_()
    assert "<td>43.0</td>" in run._repr_html_()
    assert repr(Run(two_orders(), interrupted=True, clock="wall")).startswith("events")
    assert repr(Run(two_orders(), interrupted=True, clock="wall")).endswith("seed 0, wall clock, memory://; interrupted")


def test_a_component_sums_up_waiting_service_and_latency():
    table = Run(two_orders(), length=2).component("mail").summary()

    assert table.columns == ("", "mean [ms]", "p50 [ms]", "p95 [ms]", "p99 [ms]", "longest [ms]")
    assert table.rows == [
        ("waiting", 15.667, 5.0, 42.0, 42.0, 42.0),
        ("service", 2.333, 2.0, 4.0, 4.0, 4.0),
        ("latency", 18.0, 9.0, 43.0, 43.0, 43.0),
    ]
    assert table.says == "mail: 1.0 events/s were handled; each waited 15.667 ms on average and took 2.333 ms."


def test_a_run_in_which_nothing_happened_has_no_latencies():
    run = Run(Trace())

    assert run.table.rows == [[0, None, None, None, None, 0, 0, 0, 0]]
    assert (run.latency.size, run.components, run.backlog_at([0]).tolist(), run.duration) == (0, [], [0], 0)
    assert run.summary().says == "run: nothing was handled."
    with pytest.raises(NothingMeasuredError, match="p99 of no values"):
        run.percentile(99)


def test_runs_can_be_kept_by_themselves():
    one, same = Run(two_orders()), Run(two_orders())

    assert len({one, same}) == 2


def test_littles_law_holds_to_the_nanosecond_where_handlers_fail_and_try_again():
    mail, random = Component("mail", takes=Exponential(0.002), concurrency=2, backoff=Backoff(base=0.01)), Random(3)

    @mail.on(CartItemAdded)
    def print_letter(event, context):
        if random.random() < 0.15:
            raise ValueError("a paper jam")

    app = App(cart_component(), mail, clock="virtual", seed=5)
    for due in Poisson(rate=600, duration=4).due(random):
        app.call_at(due, lambda due=due: app.send(AddItem(cart_id="c"), due_at=due))
    app.run_until_idle(on_error="retry")
    run = Run(app.trace)

    assert run.components == ["cart", "mail"]
    for name in run.components:
        rows = run.component(name).rows
        ended = rows.where(np.isin(rows.outcome, ENDS))
        found = little(ended.due_at, ended.done_at)
        assert found.holds
        assert found.events == ended.event.size > 2000
    assert run.count("retried") > 200
    assert (run.lost, run.twice, run.unrouted) == (0, 0, 0)


@pytest.mark.parametrize("warmup", [1 / 3, 2 / 3, 0.1 + 0.2, 1.0])
def test_what_is_due_at_the_very_end_of_the_warm_up_counts_everywhere_or_nowhere(warmup):
    trace, begin = Trace(), round(warmup * 1_000_000_000)
    for number, due in enumerate((begin - 1, begin, begin + 1)):
        trace.published((str(number), "", str(number), "looked", "app", due, due, 1))
        trace.delivered((str(number), "stock", 0, 1, "handled", due, due, due + 5))

    run = Run(trace, start_ns=0, warmup=warmup)

    assert (run.events, run.latency.size, run.end_to_end("looked").size) == (2, 2, 2)
