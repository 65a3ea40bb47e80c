"""The exercises of chapter 05, Measure it properly.

What an answer looks like; latencies are arrays of numpy, in seconds:

05.1 `p99(values)` returns the latency that 99 % of *values* do not exceed; they come in any order, 1 to 10,000 of them. `check_05_1(p99)`
05.2 `backfill(latencies, every)` returns the log of a tester who waits for each answer, with the latencies that are missing from it: one that took
     longer than *every* [s] stands for further ones, each shorter by *every*. `recovered` is a number [%]: of the latencies above 0.1 s in
     *truth* (measured from `due_at`), how many the corrected *log* shows. `check_05_2(backfill, recovered, log, truth)`, where log and truth are
     the latencies of the chapter's two runs, tested every 0.01 s.
05.3 `ten_runs(trials)` returns `(low, high)` around the mean wait; *trials* has shape (10, n), a row of n waits for each seed. `check_05_3(ten_runs)`
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

from edakit.classroom.exercises import NotYetError, answered, exercise, real

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EVERY", "SLOW", "check_05_1", "check_05_2", "check_05_3"]

EVERY: Final = 0.01
"""How often the tester of the chapter tests [s]."""

SLOW: Final = 0.1
"""What counts as slow in exercise 05.2 [s]."""

ROUNDING: Final = 1e-6  # numbers of 32 bits have seven digits

Array = Any


@exercise(
    "05.1",
    "p99 of any values",
    points=2,
    hints=(
        "Put 100 values in order, and count. How many may lie above the one that you look for?",
        "Sort all values first. The place is ceil(0.99 * n), counted from 1.",
        "return sorted(values)[math.ceil(0.99 * len(values)) - 1]",
    ),
)
def check_05_1(p99: Callable[[Array], float]) -> str:
    """Compare *p99* with the place of the value among all: few values and many, unsorted, with ties, with a slow half."""
    for name, values in _latencies():
        given = answered(p99(_array(values)), f"p99 of {name}")
        said = real(given)
        ordered, place = sorted(values), math.ceil(0.99 * len(values))
        # Definitions differ in how they go between neighbours; all of them stay there.
        low, high = ordered[max(place - 2, 0)], ordered[min(place, len(values) - 1)]
        if said is None or not (1 - ROUNDING) * low <= said <= (1 + ROUNDING) * high:
            shown = repr(given) if said is None else f"{said:.4g} s"
            raise NotYetError(
                f"{shown} for {name}", f"{ordered[place - 1]:.4g} s", _why_p99(said, values), "the ordered dots, and the one that 99 of 100 do not exceed"
            )
    return "Tried: 1 value, 10, 100 and 10,000; unsorted, with ties, and with one half slow."


def _latencies() -> Iterator[tuple[str, list[float]]]:
    random = Random("05.1")
    yield "1 value", [0.004]
    yield "100 values", random.sample([value**2 / 10_000 for value in range(1, 101)], 100)
    yield "10,000 values, half of them from a bad hour", [0.002] * 4850 + [0.5] * 150 + [0.002 + random.random() / 1000 for _ in range(5000)]
    yield "10,000 values with a long tail", [-0.01 * math.log(1 - random.random()) for _ in range(10_000)]
    yield "10 values", [random.random() for _ in range(10)]
    yield "1,000 values with ties", [0.003] * 985 + [0.2] * 15


def _why_p99(said: float | None, values: Sequence[float]) -> str:
    if said is None:
        return "This happens when more than one number is given back."
    half, average = len(values) // 2, math.fsum(values) / len(values)
    if half and math.isclose(said, (_p99(values[:half]) + _p99(values[half:])) / 2, rel_tol=0.02):
        return "Percentiles cannot be averaged; pool the events first."
    reasons = [
        (max(values), "This is the slowest of all. One in a hundred may be slower than p99."),
        (statistics.median(values), "This is the median: half of all are slower. Of 100 only one may be slower than p99."),
        (average, "This is the mean; half a second for a few disappears in it."),
        (average + 2.33 * statistics.pstdev(values), "This is p99 of a normal distribution. Latencies are not normal: most are short, and a few very long."),
        (1000 * _p99(values), "This is in milliseconds."),
    ]
    if found := [reason for value, reason in reasons if math.isclose(said, value, rel_tol=0.005)]:
        return found[0]
    if max(values) < said < 100 * max(values):
        return "This is longer than the slowest of all: a rule that goes on beyond the last value was used, such as that of statistics.quantiles."
    if said in values[-max(1, len(values) // 50) :]:
        return "This happens when the values are not put in order first."
    return "This happens when the place is counted from the wrong end, or as a share of something else than the number of values."


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


@exercise(
    "05.2",
    "Correct a waiting tester's log",
    points=3,
    hints=(
        "The tester waited 1 s for one answer. How many requests would it have sent in that second, and how long would each have waited?",
        "Next to a latency of 1 s belong 0.99, 0.98, 0.97 and so on, down to every.",
        "For each latency: missing = latency - every; while missing >= every: add missing, then missing = missing - every.",
    ),
)
def check_05_2(backfill: Callable[[Array, float], Array], recovered: float, log: Array, truth: Array) -> str:
    """Compare *backfill* with what was missing, for other stalls and intervals, and *recovered* with the two runs of the chapter."""
    for stalls, every in (((1.004,), 0.01), ((0.504, 0.044), 0.01), ((2.02,), 0.05), ((), 0.01)):
        quick = [0.002, 0.003] * 50
        values = [*quick[:60], *stalls, *quick[60:]]
        said = answered(backfill(_array(values), every), f"backfill of {len(values)} latencies")
        _compare_log(sorted(float(value) for value in said), values, stalls, every)
    slow = [sum(float(value) > SLOW for value in values) for values in (backfill(log, EVERY), truth)]
    share = 100 * slow[0] / max(slow[1], 1)
    told = real(recovered)
    if told is None or abs(told - share) > 1:
        because = "This happens when other latencies are counted, or a share is given where a percentage is asked for."
        raise NotYetError(
            f"recovered is {recovered!r}" if told is None else f"recovered is {told:.4g}",
            f"{share:.0f}, in %: {slow[0]} of {slow[1]} latencies above {SLOW} s",
            because,
            "the two arrays, and how many of each exceed 0.1 s",
        )
    return (
        f"Tried: one stall, two, none. Your log shows {share:.0f} % of the slow latencies. "
        "It ends with the stall, and the backlog does not: shoppers also waited for those before them."
    )


def _compare_log(said: list[float], values: list[float], stalls: Sequence[float], every: float) -> None:
    shown = f"{len(said)} latencies, the slowest {max(said, default=0.0):.3g} s, from a log of {len(values)} with stalls of {list(stalls)} s"
    missing = [stall - n * every for stall in stalls for n in range(1, math.floor(stall / every))]
    expected = f"{len(values) + len(missing)} latencies, the slowest {max(values):.3g} s"
    # The smallest, about `every` long, may be there or not: that is a question of rounding.
    wanted = sorted(value for value in [*values, *missing] if value > 2.5 * every)
    found = [value for value in said if value > 2.5 * every]
    if stalls and max(said, default=0.0) < max(stalls):
        raise NotYetError(
            shown, expected, "You deleted the very second that the shoppers complain about.", "the longest latency: it is no error of measurement"
        )
    if len(said) < len(values):
        raise NotYetError(
            shown, expected, "This happens when what was measured is replaced; it stays, and what is missing is added.", "the list that you begin with"
        )
    if stalls and len(said) == len(values):
        because = "While the shop stood still the tester sent nothing: those requests are missing from its log."
        raise NotYetError(shown, expected, because, "how many requests one answer of 1 s has kept from being sent")
    if len(stalls) > 1 and len(found) < len(wanted) and all(any(math.isclose(one, other) for other in wanted) for one in found):
        because = "This happens when only one answer, or only a very slow one, is filled up. Each that took longer than *every* hides requests."
        raise NotYetError(shown, expected, because, f"the answer of {min(stalls):g} s")
    if len(found) != len(wanted) or any(abs(one - other) > every / 100 for one, other in zip(found, wanted, strict=True)):
        because = "Each request that was not sent would have waited less than the one before, by the time between two."
        raise NotYetError(shown, expected, because, "the first three latencies that you add for one of 1.004 s, tested every 0.01 s: 0.994, 0.984, 0.974")
    if len(said) > len(values) + len(missing) + 2 * max(1, len(stalls)):
        raise NotYetError(
            shown, expected, "This happens when quick answers are multiplied too.", "which latencies are longer than the time between two requests"
        )


TRIALS: Final = 10
REPETITIONS: Final = 400
EVENTS: Final = 600  # a trial
LEAST, MOST = 90, 99  # share of intervals that are to hold the true value [%]


@exercise(
    "05.3",
    "How sure is the mean",
    points=5,
    seconds=60.0,
    hints=(
        "Which of these numbers are independent: the waits within one run, or the means of runs with seeds of their own?",
        "Take the mean of each row. Ten means have a standard deviation; divided by √10 it is the standard error.",
        "Low and high are the mean of the means minus and plus 2.26 standard errors (Student's t for ten values).",
    ),
)
def check_05_3(interval: Callable[[Array], tuple[float, float]]) -> str:
    """Count how often *interval* holds the true value, over 400 repetitions of ten seeds, for two queues and for one without memory."""
    covered = {}
    for name, load in (("a queue at 70 %", 0.7), ("a queue at 50 %", 0.5), ("values without a queue", 0.0)):
        trials, true_value = _waits(load)
        covered[name] = share = 100 * sum(_holds(interval, each, true_value) for each in trials) / REPETITIONS
        if not LEAST <= share <= MOST:
            raise NotYetError(
                f"it covers the true value in {share:.0f} % of {REPETITIONS} repetitions ({name})",
                f"{LEAST} to {MOST} %",
                *_why_interval(share, interval(trials[0]), trials[0]),
            )
    return f"Tried: {REPETITIONS} repetitions each of " + ", ".join(f"{name}: covers {share:.0f} %" for name, share in covered.items()) + "."


def _holds(interval: Callable[[Array], tuple[float, float]], trials: Array, true_value: float) -> bool:
    said = answered(interval(trials), "ten_runs(trials)")
    if len(said) != 2:  # noqa: PLR2004 (low and high)
        raise NotYetError(f"ten_runs gives {said!r}", "two numbers, low and high", "This happens when something else is given back.", "return low, high")
    return bool(said[0] <= true_value <= said[1])


def _why_interval(share: float, said: tuple[float, float], trials: Array) -> tuple[str, str]:
    """Return why an interval like *said* covers *share* per cent, and where to look."""
    if share > MOST:
        return (
            f"Covers {share:.0f} %: an interval that is never wrong is too wide to say anything. Divide the spread of the ten means by √10.",
            "the standard error: a standard deviation divided by a root",
        )
    if said[0] > said[1]:
        return "Low is above high: the two stand the other way round, or are a middle and a width.", "return low, high"
    if not said[0] <= trials.mean() <= said[1]:
        return "The mean of these very ten runs lies outside: the middle is not their mean.", "the mean of the ten means, and as much to each side of it"
    # With each event as a sample it is this wide, whichever factor is taken; with each run it is several times wider.
    of_events = 2 * 1.96 * trials.std() / math.sqrt(trials.size)
    if said[1] - said[0] < 1.5 * of_events:
        return f"Covers {share:.0f} %: neighbours in a queue wait together. The sample is the run.", "what is one sample here"
    return (
        f"Covers {share:.0f} %: the interval is too narrow for ten values, or its middle is not their mean.",
        "2.26 standard errors to each side, and a standard deviation that divides by 9 (in numpy ddof=1)",
    )


def _waits(load: float) -> tuple[Array, float]:
    """Return waits, shape (400, 10, n), of an M/M/1 queue at *load* that has been running for long, and their true mean, both in services.

    At a load of zero: exponential values that do not depend on each other.
    """
    import numpy as np  # noqa: PLC0415 (heavy)

    random = np.random.default_rng(np.random.PCG64(5030))

    def exponential(*shape: int) -> np.ndarray[Any, Any]:
        return -np.log1p(-random.random(shape))

    if not load:
        return exponential(REPETITIONS, TRIALS, EVENTS), 1.0
    wait = np.where(random.random((REPETITIONS, TRIALS)) < load, exponential(REPETITIONS, TRIALS) / (1 - load), 0.0)
    waits = np.empty((EVENTS, REPETITIONS, TRIALS))
    for event in range(EVENTS):
        waits[event] = wait
        wait = np.maximum(0.0, wait + exponential(REPETITIONS, TRIALS) - exponential(REPETITIONS, TRIALS) / load)
    return np.moveaxis(waits, 0, 2), load / (1 - load)


def _array(values: Sequence[float]) -> Array:
    import numpy as np  # noqa: PLC0415 (heavy)

    return np.array(values)
