"""What comes, and when: open workloads, a closed one that is not played by itself, and recordings."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edakit.clock import NS
from edakit.errors import EventValueError, InvalidValueError
from edakit.measuring.errors import WorkloadLineError
from edakit.measuring.recording import Playback, record
from edakit.measuring.workload import Arrivals, Burst, ClosedLoop, DayProfile, Each, Poisson, Steady, Workload
from tests.shop_language import AddItem, CartItemAdded

DAY = [0, 0, 1, 5, 40, 300, 20, 0]
OPEN = [
    Steady(rate=30, duration=20),
    Poisson(rate=30, duration=20),
    Burst(rate=10, peak=200, start=5, length=2, duration=20),
    DayProfile(DAY, day_length=20),
]


def due(arrivals, seed=1):
    return list(arrivals.due(Random(seed)))


def count(times, begin, end):
    return sum(begin * NS <= time < end * NS for time in times)


@pytest.mark.parametrize("arrivals", OPEN, ids=lambda arrivals: type(arrivals).__name__)
def test_arrivals_are_whole_nanoseconds_that_ascend_within_the_duration(arrivals):
    times = due(arrivals)

    assert isinstance(arrivals, Arrivals)
    assert all(type(time) is int for time in times)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= arrivals.duration * NS
    assert len(times) > 300


@pytest.mark.parametrize("arrivals", OPEN, ids=lambda arrivals: type(arrivals).__name__)
def test_the_same_seed_gives_the_same_arrivals(arrivals):
    assert due(arrivals, seed=4) == due(arrivals, seed=4)
    assert (due(arrivals, seed=4) == due(arrivals, seed=5)) == isinstance(arrivals, Steady)


def test_steady_arrivals_come_at_equal_distances_the_first_at_once():
    assert due(Steady(rate=4, duration=1)) == [0, 250_000_000, 500_000_000, 750_000_000]
    assert due(Steady(rate=3, duration=0.7)) == [0, 333_333_333, 666_666_667]


def test_rounding_errors_of_steady_arrivals_do_not_pile_up():
    times = due(Steady(rate=3000, duration=100))

    assert len(times) == 300_000
    assert times[-1] == round(299_999 * NS / 3000)


def test_poisson_arrivals_have_their_rate_and_exponential_gaps():
    times = due(Poisson(rate=200, duration=100))
    gaps = [after - before for before, after in itertools.pairwise(times)]

    # Four standard deviations of a Poisson count; of a share of so many gaps; of the mean.
    assert len(times) == pytest.approx(20_000, abs=4 * math.sqrt(20_000))
    assert sum(gap > 0.005 * NS for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=4 * math.sqrt(0.3679 * 0.6321 / 20_000))
    assert sum(gaps) / len(gaps) == pytest.approx(0.005 * NS, rel=4 / math.sqrt(20_000))
    assert times[0] > 0


def test_poisson_counts_vary_as_much_as_their_mean():
    counts = [len(due(Poisson(rate=50, duration=1), seed)) for seed in range(2000)]
    centre = sum(counts) / len(counts)

    assert centre == pytest.approx(50, abs=4 * math.sqrt(50 / 2000))
    assert sum((one - centre) ** 2 for one in counts) / len(counts) == pytest.approx(50, rel=4 * math.sqrt(2 / 2000))


def test_a_burst_is_denser_while_it_lasts():
    times = due(Burst(rate=20, peak=400, start=100, length=50, duration=300))

    for begin, end, rate in ((0, 100, 20), (100, 150, 400), (150, 300, 20)):
        expected = (end - begin) * rate
        assert count(times, begin, end) == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_a_burst_may_come_out_of_nothing_and_last_to_the_end():
    times = due(Burst(rate=0, peak=100, start=0.1, length=0.2, duration=0.3), seed=3)

    assert count(times, 0.1, 0.3000001) == len(times) > 5
    assert count(due(Burst(rate=0, peak=100, start=0, length=1, duration=5)), 1, 5) == 0


def test_a_day_has_in_each_hour_as_many_arrivals_as_its_profile():
    profile = [0, 100, 2000, 0, 500, 0]
    times = due(DayProfile(profile))

    assert DayProfile(profile).duration == 6 * 3600
    assert DayProfile([1] * 24).duration == 86_400
    for hour, expected in enumerate(profile):
        assert count(times, 3600 * hour, 3600 * (hour + 1)) == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_an_arrival_may_be_many_hours_away():
    times = due(DayProfile([0.2, 0.1, 0, 0.1] * 2500))

    assert len(times) == pytest.approx(1000, abs=4 * math.sqrt(1000))


def test_a_shorter_day_has_as_many_arrivals_closer_together():
    hours, minute = due(DayProfile([300, 900])), due(DayProfile([300, 900], day_length=60))

    assert len(hours) == len(minute)
    assert all(abs(long - 120 * short) <= 120 for long, short in zip(hours, minute, strict=True))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Steady(rate=0, duration=1), "rate is 0; give a number of events per second above 0"),
        (lambda: Steady(rate=1, duration=0), "duration is 0; give a number of seconds above 0"),
        (lambda: Poisson(rate=-5, duration=1), "rate is -5"),
        (lambda: Poisson(rate=math.nan, duration=1), "rate is nan"),
        (lambda: Poisson(rate=1, duration=math.inf), "duration is inf"),
        (lambda: Poisson(rate=1, duration=math.nan), "duration is nan"),
        (lambda: Burst(rate=-1, peak=1, start=0, length=1, duration=2), "rate is -1; give a number of events per second, 0 or more"),
        (lambda: Burst(rate=math.nan, peak=1, start=0, length=1, duration=2), "rate is nan"),
        (lambda: Burst(rate=1, peak=0, start=0, length=1, duration=2), "peak is 0"),
        (lambda: Burst(rate=1, peak=1, start=0, length=0, duration=2), "length is 0"),
        (lambda: Burst(rate=1, peak=1, start=-1, length=1, duration=2), "start and length is .*ends by 2 s"),
        (lambda: Burst(rate=1, peak=1, start=math.nan, length=1, duration=2), "start and length is .*ends by 2 s"),
        (lambda: Burst(rate=1, peak=1, start=1.5, length=1, duration=2), "start and length is .*ends by 2 s"),
        (lambda: DayProfile([]), r"per_hour is \[\]; give for each hour how many events come"),
        (lambda: DayProfile([0, 0]), "not 0 for all"),
        (lambda: DayProfile([1, -1]), "per_hour is"),
        (lambda: DayProfile([1, math.nan]), "per_hour is"),
        (lambda: DayProfile([1], day_length=0), "day_length is 0"),
        (lambda: ClosedLoop(testers=0), "testers is 0; give a whole number of 1 or more"),
        (lambda: ClosedLoop(testers=1.5), "testers is 1.5"),
        (lambda: ClosedLoop(every=0), "every is 0"),
        (lambda: ClosedLoop(duration=-1), "duration is -1"),
        (lambda: ClosedLoop(every=math.nan), "every is nan"),
    ],
)
def test_a_workload_that_makes_no_sense_is_refused(make, problem):
    with pytest.raises(InvalidValueError, match=problem):
        make()


def test_each_arrival_becomes_a_message():
    workload = Each(Steady(rate=2, duration=1), lambda number, random: AddItem(cart_id=f"c-{number}"))

    assert isinstance(workload, Workload)
    assert workload.duration == 1
    assert list(workload.messages(Random(1))) == [(0, AddItem(cart_id="c-0")), (500_000_000, AddItem(cart_id="c-1"))]


def test_arrivals_do_not_depend_on_what_comes():
    def thrifty(number, random):
        return CartItemAdded(cart_id="c")

    def wasteful(number, random):
        return CartItemAdded(cart_id="c", quantity=max(int(random.random() * 9) for _ in range(5)))

    arrivals = Poisson(rate=30, duration=20)
    plain, drawn = (list(Each(arrivals, make).messages(Random(1))) for make in (thrifty, wasteful))

    assert [time for time, _ in plain] == [time for time, _ in drawn] == due(arrivals)
    assert list(Each(arrivals, wasteful).messages(Random(1))) == drawn
    assert [message for _, message in Each(arrivals, wasteful).messages(Random(2))][:20] != [message for _, message in drawn][:20]
    assert len({message.quantity for _, message in drawn}) > 3


def test_a_closed_loop_has_no_times_of_its_own():
    with pytest.raises(InvalidValueError, match="give arrivals that do not wait for answers"):
        ClosedLoop(testers=2).due(Random(1))
    with pytest.raises(InvalidValueError, match=r"a closed loop is measured as Each\(ClosedLoop"):
        next(Each(ClosedLoop(), lambda number, random: AddItem(cart_id="c")).messages(Random(1)))


class Given:
    """A workload of these messages."""

    def __init__(self, messages):
        self._messages = messages
        self.duration = 1.0

    def messages(self, random):
        yield from self._messages


TYPES = (AddItem, CartItemAdded)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
messages = st.one_of(st.builds(AddItem, cart_id=texts, quantity=st.integers(-5, 10**9)), st.builds(CartItemAdded, cart_id=texts, product_id=texts))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example writes the file anew
@given(st.lists(st.tuples(st.integers(0, 10**18 - 1), messages), min_size=1, max_size=10))
@example([(10**18 - 1, AddItem(cart_id="c-1"))])
def test_what_was_recorded_is_played_back_to_the_nanosecond(tmp_path, recorded):
    recorded.sort(key=lambda pair: pair[0])

    assert record(Given(recorded), tmp_path / "day.csv") == len(recorded)
    playback = Playback(tmp_path / "day.csv", TYPES)

    assert list(playback.messages(Random(1))) == recorded
    assert list(playback.messages(Random(2))) == recorded
    assert len(playback) == len(recorded)
    assert playback.duration == recorded[-1][0] / NS


def test_a_recording_is_drawn_from_its_seed_and_is_the_same_file_every_time(tmp_path):
    workload = Each(Poisson(rate=30, duration=2), lambda number, random: AddItem(cart_id=f"c-{number}", quantity=int(random.random() * 9)))
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        record(workload, tmp_path / name, seed=seed)

    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    assert one.startswith(b"seconds,type,json\n0.")
    assert list(Playback(tmp_path / "one", TYPES).messages(Random(1))) == list(workload.messages(Random("7/workload")))


def test_a_message_that_cannot_travel_is_not_recorded(tmp_path):
    with pytest.raises(EventValueError, match="AddItem was not sent"):
        record(Given([(0, AddItem(cart_id=None))]), tmp_path / "day.csv")


@pytest.fixture
def day(tmp_path):
    """Return a function that writes lines to a file and gives its path."""

    def write(*lines, end="\n"):
        path = tmp_path / "day.csv"
        path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + end.encode() for line in lines))
        return path

    return write


def test_a_recording_is_played_back_at_any_speed(day):
    path = day("seconds,type,json", '0,add.item,"{""cart_id"":""c-1""}"', '12.5,cart.item.added,{"cart_id":"c-1"}', '36000,add.item,{"cart_id":"c-2"}')

    fast, slow = Playback(path, TYPES, speedup=600), Playback(path, TYPES, speedup=0.5)

    assert [time for time, _ in fast.messages(Random(1))] == [0, 20_833_333, 60 * NS]
    assert [time for time, _ in slow.messages(Random(1))] == [0, 25 * NS, 72_000 * NS]
    assert (fast.duration, slow.duration) == (60, 72_000)
    assert isinstance(fast, Workload)


@pytest.mark.parametrize("head", [(), ("seconds,type,json",), (b"\xef\xbb\xbfseconds,type,json",)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_recording_may_come_from_a_spreadsheet_or_without_a_heading(day, head, end):
    path = day(*head, '1e0,add.item,"{""cart_id"":""c-1""}"', '0001.000000000,add.item,"{ ""cart_id"" : ""c-2"" }"', end=end)

    assert [(time, message.cart_id) for time, message in Playback(path, TYPES).messages(Random(1))] == [(NS, "c-1"), (NS, "c-2")]


GOOD = '1.5,add.item,{"cart_id":"c-1"}'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "it has 0 values instead of 3"),
        ("2,add.item", "it has 2 values instead of 3"),
        ("2,add.item,[1,2]", "it has 4 values instead of 3"),
        ("seconds,type,json", "the time is no number of seconds"),
        ('soon,add.item,{"cart_id":"c-1"}', "the time is no number of seconds from 0 to 1,000,000,000"),
        ('-1,add.item,{"cart_id":"c-1"}', "the time is no number of seconds"),
        ('nan,add.item,{"cart_id":"c-1"}', "the time is no number of seconds"),
        ('Infinity,add.item,{"cart_id":"c-1"}', "the time is no number of seconds"),
        ('1e999999,add.item,{"cart_id":"c-1"}', "the time is no number of seconds"),
        ('1.499999999,add.item,{"cart_id":"c-1"}', "its time is before that of the line above, 1.5 s"),
        ('2,order.placed,{"order_id":"o-1"}', "type 'order.placed' is none of add.item, cart.item.added"),
        ("2,add.item,{", "the JSON is no add.item"),
        ("2,add.item,{}", "the JSON is no add.item .*cart_id"),
        ('2,add.item,{"cart_id":7}', "the JSON is no add.item .*Expected `str`"),
        ('2,add.item,{"cart_id":NaN}', "the JSON is no add.item"),
        (b'2,add.item,{"cart_id":"\xff"}', "it is not in UTF-8"),
        (b"2,add\xff,{}", r"type 'add\\udcff' is none of"),
        ('2,add.item,{"cart_id":"c-1","quantity":2}', "its commas or quotes are not those of CSV"),
        ('2,add.item,"{""cart_id"":""c-1""}', "its commas or quotes are not those of CSV"),
        ('2,add.item,"{}"x', "its commas or quotes are not those of CSV"),
        ("2,add.item," + "x" * 200_000, "its commas or quotes are not those of CSV .field larger"),
    ],
)
def test_a_broken_line_is_named_with_its_file_and_number(day, line, problem):
    path = day("seconds,type,json", GOOD, line, GOOD)

    with pytest.raises(WorkloadLineError, match=rf"day\.csv, line 3: {problem}") as caught:
        Playback(path, TYPES)

    assert (caught.value.path, caught.value.line) == (str(path), 3)
    text = line if isinstance(line, str) else line.decode(errors="replace").replace("\ufffd", "?")
    assert caught.value.found == text[:80]
    assert 'such as 12.5,cart.viewed,"{""cart_id"":""c-1""}"; mend it or remove it' in str(caught.value)
    str(caught.value).encode()


def test_the_number_of_a_line_counts_those_inside_of_quotes(day):
    path = day("seconds,type,json", '1,add.item,"{""cart_id"":', '""c-1""}"', "late")

    with pytest.raises(WorkloadLineError, match="line 4: it has 1 values"):
        Playback(path, TYPES)


def test_a_broken_first_line_is_the_first(day):
    with pytest.raises(WorkloadLineError, match="line 1: it has 2 values"):
        Playback(day("seconds,type"), TYPES)


@pytest.mark.parametrize("lines", [(), ("seconds,type,json",)])
def test_a_recording_of_nothing_is_refused(day, lines):
    with pytest.raises(InvalidValueError, match="at least one line under its heading"):
        Playback(day(*lines), TYPES)


@pytest.mark.parametrize("speedup", [0, -1, math.nan, math.inf])
def test_a_speed_that_is_none_is_refused(day, speedup):
    with pytest.raises(InvalidValueError, match=r"speedup is .*; give a number above 0"):
        Playback(day(GOOD), TYPES, speedup=speedup)


def test_a_recording_that_is_not_there_is_not_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        Playback(tmp_path / "nowhere.csv", TYPES)


@pytest.mark.parametrize(
    "arrivals", [Burst(rate=0, peak=1e9, start=0, length=5e-9, duration=5e-9), DayProfile([5], day_length=5e-9), Poisson(1e9, 5e-9)], ids=repr
)
def test_nothing_comes_when_the_time_is_over_also_where_it_is_rounded(arrivals):
    assert {time for seed in range(50) for time in due(arrivals, seed)} <= set(range(5))


@pytest.mark.parametrize("rate", [1e-300, 1e-12, 1e-6])
def test_next_to_nothing_may_come(rate):
    assert due(Steady(rate, duration=10)) == [0]
    assert due(Poisson(rate, duration=10)) == due(Burst(rate, rate, 0, 1, 10)) == due(DayProfile([rate], 10)) == []


@pytest.mark.parametrize("duration", [1e10, 1e300])
def test_what_takes_longer_than_times_can_tell_is_refused(duration):
    for arrivals in (Steady(1, duration), Poisson(1, duration), DayProfile([1], duration)):
        with pytest.raises(InvalidValueError, match="less than 292 years"):
            next(arrivals.due(Random(1)))


def test_what_comes_for_years_comes_at_its_rate():
    times = due(Poisson(rate=1e-4, duration=20 * 365 * 86_400.0))

    assert times == sorted(times)
    assert len(times) == pytest.approx(63_072, rel=0.02)
