from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from edakit.errors import InvalidValueError
from edakit.shop import AddItem, CheckOut, OrderLine, OrderReturned
from edakit.shop.recording import RecordedDay
from edakit.shop.retail import COLUMNS, read_retail

HEADER = ",".join(COLUMNS)
NS = 1_000_000_000
DAY = Path(__file__).parent.parent / "data" / "day.csv"


@pytest.fixture
def recorded(tmp_path):
    """A function from lines (invoice, code, quantity, minute, price) to a recorded day."""

    def make(*rows, **options):
        path = tmp_path / "retail.csv"
        path.write_text(
            "\n".join([HEADER, *(f"{invoice},{code},MUG,{quantity},2010-12-01 {minute},{price},," for invoice, code, quantity, minute, price in rows)])
        )
        return RecordedDay(read_retail(path), **options)

    return make


def messages(day):
    return list(day.messages(Random()))


def test_a_line_is_put_into_the_cart_within_its_minute_and_then_comes_one_order(recorded):
    day = recorded(("1", "71053", 6, "08:26", 3.39), ("1", "22752", 2, "08:26", 7.65))

    found = messages(day)

    assert [message for _, message in found] == [
        AddItem(cart_id="1", product_id="71053", quantity=6),
        AddItem(cart_id="1", product_id="22752", quantity=2),
        CheckOut(cart_id="1"),
    ]
    times = [time for time, _ in found]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert 0 <= times[0] < times[-1] < 60 * NS


def test_an_invoice_of_two_minutes_is_ordered_in_the_last(recorded):
    day = recorded(("1", "71053", 1, "08:26", 1), ("1", "71053", 1, "08:27", 1), ("2", "71053", 1, "08:26", 1))

    places = {(message.cart_id, type(message).__name__): time // (60 * NS) for time, message in messages(day)}

    assert places == {("1", "AddItem"): 1, ("1", "CheckOut"): 1, ("2", "AddItem"): 0, ("2", "CheckOut"): 0}
    assert day.duration == 120


def test_a_cancellation_is_an_order_that_comes_back(recorded):
    day = recorded(("C5", "71053", -6, "08:26", 3.39), ("C5", "22752", -2, "08:26", 0.5))

    [(time, returned)] = messages(day)

    lines = (OrderLine(product_id="71053", quantity=6, price=339), OrderLine(product_id="22752", quantity=2, price=50))
    assert returned == OrderReturned(order_id="C5", lines=lines, amount=2_134)
    assert 0 <= time < 60 * NS


def test_refused_lines_are_counted_and_passed_over(recorded):
    day = recorded(("1", "POST", 1, "08:26", 18), ("2", "71053", -3, "08:27", 0), ("3", "71053", 1, "08:28", 2), ("C4", "D", -1, "08:29", 5))

    assert day.kinds == {"no product": 2, "write-off": 1, "added": 1}
    assert [message.cart_id for _, message in messages(day)] == ["3", "3"]


def test_a_day_is_played_back_as_many_times_as_fast_as_asked_for(recorded):
    rows = [("1", "71053", 1, "08:26", 1), ("2", "71053", 1, "10:06", 1)]
    slow, fast = recorded(*rows), recorded(*rows, speedup=600)

    assert [time for time, _ in messages(fast)] == [round(time / 600) for time, _ in messages(slow)]
    assert fast.duration == pytest.approx(slow.duration / 600) == pytest.approx(10.1)


def test_lines_of_another_order_in_the_file_are_sorted_by_time(recorded):
    day = recorded(("2", "71053", 1, "09:00", 1), ("1", "71053", 1, "08:00", 1))

    assert [message.cart_id for _, message in messages(day)] == ["1", "1", "2", "2"]


def test_the_seed_says_where_in_its_minute_a_line_lies_whatever_else_is_there(recorded):
    one, two = ("1", "71053", 1, "08:26", 1), ("2", "71053", 1, "08:26", 1)

    alone, together = messages(recorded(one)), messages(recorded(one, two))

    assert alone == messages(recorded(one)) == [found for found in together if found[1].cart_id == "1"]
    assert alone != messages(recorded(one, seed=1))


def test_a_product_costs_what_most_of_its_lines_say(recorded):
    day = recorded(("1", "71053", 1, "08:26", 3.39), ("2", "71053", 1, "08:26", 7.46), ("3", "71053", 1, "08:26", 3.39), ("4", "22752", 1, "08:26", 1))

    assert day.catalogue().prices() == {"71053": 339, "22752": 100}


def test_the_made_up_day_goes_through_in_the_order_of_time():
    times = [time for time, _ in messages(RecordedDay(read_retail(DAY), speedup=600))]

    assert times == sorted(times)
    assert len(times) == 1_739 + 72 + 12


@pytest.mark.parametrize("speedup", [0, -1, float("nan"), float("inf")])
def test_a_speedup_that_makes_no_sense_is_refused(recorded, speedup):
    with pytest.raises(InvalidValueError, match=r"speedup is .*; give a number of 0.001 or more"):
        recorded(("1", "71053", 1, "08:26", 1), speedup=speedup)


def test_a_day_without_lines_cannot_be_played_back():
    with pytest.raises(InvalidValueError, match="the lines of a day"):
        RecordedDay([])
