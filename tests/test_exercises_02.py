# ruff: noqa: BLE001, S110, SIM105
# Students catch what they should not.

from __future__ import annotations

import asyncio
from collections import defaultdict, deque

import pytest

from edakit.classroom.checks.ch02 import check_02_1, check_02_2, check_02_3


class Loop:
    """The loop of the chapter, with the answer to 02.1."""

    def __init__(self):
        self.queue = deque()
        self.handlers = defaultdict(list)

    def on(self, event_type, handler):
        self.handlers[event_type].append(handler)

    def publish(self, event):
        self.queue.append(event)

    def run(self):
        while self.queue:
            event = self.queue.popleft()
            for handler in self.handlers[type(event)]:
                handler(event)


class Calling(Loop):
    def publish(self, event):
        for handler in self.handlers[type(event)]:
            handler(event)


class NewestFirst(Loop):
    def publish(self, event):
        self.queue.appendleft(event)


class Once(Loop):
    def run(self):
        for _ in range(50):
            if self.queue:
                event = self.queue.popleft()
                for handler in self.handlers[type(event)]:
                    handler(event)


class Stub(Loop):
    def publish(self, event): ...


def test_02_1_the_end_of_the_queue_passes():
    assert check_02_1(Loop).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Calling, "C ran before B finished: your publish called it. Put it at the end of the queue."),
        (NewestFirst, "the newest event is taken first: a stack, not a queue"),
        (Once, "run stops before the queue is empty"),
    ],
)
def test_02_1_a_wrong_answer_is_told_why(answer, said):
    verdict = check_02_1(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


class ElsewhereQueue(Loop):
    """`self.` was forgotten, and the notebook has a queue of that name."""

    elsewhere = deque()

    def publish(self, event):
        self.elsewhere.append(event)


def test_02_1_an_event_in_another_queue_is_told_where_run_looks():
    assert "run finds no event in self.queue" in repr(check_02_1(ElsewhereQueue))


def test_02_1_a_stub_is_told_what_is_missing():
    assert "nothing here yet" in repr(check_02_1(Stub))
    assert "publish(event) has no effect yet" in repr(check_02_1(Stub))


def slices(size, *, wait=None, keep=lambda prices: prices):
    async def import_prices(prices, write, pause):
        for number, price in enumerate(keep(prices), 1):
            write(price)
            if number % size == 0:
                await (wait or pause)()

    return import_prices


async def bare(prices, write, pause):
    for price in prices:
        write(price)


def plain(prices, write, pause):
    for price in prices:
        write(price)


async def awaits_nothing_that_waits(prices, write, pause):
    await bare(prices, write, pause)


async def used_up(prices, write, pause):
    while prices:
        write(prices.pop(0))
        await pause()


async def backwards(prices, write, pause):
    for price in reversed(prices):
        write(price)
        await pause()


async def stub(prices, write, pause): ...


def test_02_2_an_import_that_uses_up_its_list_passes():
    assert check_02_2(used_up).passed


def test_02_2_slices_of_a_hundred_pass():
    verdict = check_02_2(slices(100))

    assert verdict.passed
    assert "The loop was held for 50 ms at most, and the click waited 40 ms at most." in repr(verdict)


def test_02_2_a_pause_after_each_price_passes_and_so_does_asyncios_own():
    assert check_02_2(slices(1)).passed
    assert check_02_2(slices(10, wait=lambda: asyncio.sleep(0))).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (bare, "Held for 2,000 ms. async gives the loop nothing back until an await really waits."),
        (plain, "Held for 2,000 ms."),
        (awaits_nothing_that_waits, "Held for 2,000 ms. async gives the loop nothing back until an await really waits."),
        (
            backwards,
            "Seen: 10,000 of 10,000 prices written, [10099, 10098, 10097] first. Expected: all in their order, each once. This happens when the prices",
        ),
        (slices(101), "held the loop for 50.5 ms"),
        (slices(200), "A slice of 200 prices of 0.5 ms is too long."),
        (slices(100, keep=lambda prices: prices[:-1]), "9,999 of 10,000 prices written"),
        (slices(100, keep=lambda prices: [*prices, prices[-1]]), "each once"),
        (slices(50, keep=lambda prices: prices[: len(prices) // 50 * 50]), "Seen: 0 of 1 prices written. Expected"),
    ],
)
def test_02_2_a_wrong_answer_is_told_why(answer, said):
    verdict = check_02_2(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_02_2_a_stub_is_told_what_is_missing():
    assert repr(check_02_2(stub)).startswith("nothing here yet")


def dispatch(event, handlers, report):
    for handler in handlers:
        try:
            handler(event)
        except Exception as error:
            report(handler, error)


def passes_over(event, handlers, report):
    for handler in handlers:
        try:
            handler(event)
        except Exception:
            pass


def around_the_loop(event, handlers, report):
    try:
        for handler in handlers:
            handler(event)
    except Exception as error:
        report(handler, error)


def ends_at_the_first(event, handlers, report):
    for handler in handlers:
        try:
            handler(event)
        except Exception as error:
            report(handler, error)
            return


def catches_nothing(event, handlers, report):
    for handler in handlers:
        handler(event)


def reports_a_text(event, handlers, report):
    for handler in handlers:
        try:
            handler(event)
        except Exception as error:
            report(handler, str(error))


def reports_by_name(event, handlers, report):
    for handler in handlers:
        try:
            handler(event)
        except Exception as problem:
            report(error=problem, handler=handler)


def reports_exchanged(event, handlers, report):
    dispatch(event, handlers, lambda handler, error: report(error, handler))


def calls_with_nothing(event, handlers, report):
    for handler in handlers:
        try:
            handler()
        except Exception as error:
            report(handler, error)


def calls_with_the_list(event, handlers, report):
    dispatch(handlers, handlers, report)


def in_another_order(event, handlers, report):
    dispatch(event, handlers[::-1], report)


def catches_stop(event, handlers, report):
    for handler in handlers:
        try:
            handler(event)
        except BaseException as error:
            report(handler, error)


def test_02_3_a_dispatch_that_goes_on_and_reports_passes():
    assert check_02_3(dispatch).passed
    assert check_02_3(reports_by_name).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (passes_over, "Two errors happened, your report names none."),
        (around_the_loop, "the try stands around the whole for"),
        (ends_at_the_first, "a break or return follows the report"),
        (catches_nothing, "An exception that nobody catches ends the for"),
        (reports_exchanged, "Seen: 2 reports for 2 errors, one of them report(the error, a handler)."),
        (calls_with_nothing, "Seen: a handler was called with 0 arguments. Expected: handler(event)."),
        (calls_with_the_list, "Seen: a handler was called with a list."),
        (in_another_order, "All of them ran, in another order than that of the list."),
        (reports_a_text, "one of them report(a handler, a str)"),
        (reports_a_text, "report(handler, error) for each that failed"),
        (catches_stop, "catches the Stop button of the notebook as well"),
    ],
)
def test_02_3_a_wrong_answer_is_told_why(answer, said):
    verdict = check_02_3(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_02_3_a_stub_is_told_what_is_missing():
    assert repr(check_02_3(lambda event, handlers, report: None)).startswith("nothing here yet")


def test_the_points_of_the_chapter_add_up_to_ten():
    assert sum(check.exercise.points for check in (check_02_1, check_02_2, check_02_3)) == 10
