"""The exercises of chapter 06, Queues under load.

What an answer looks like; times are in seconds, rates in events per second:

06.1 `wait(rate, takes, variability)` returns the mean wait of one worker: Poisson arrivals at *rate*, a service time with the mean *takes* and the
     squared coefficient of variation *variability* (0 constant, 1 exponential), utilisation below 1. `check_06_1(wait)`
06.2 `workers_for(rate, takes, p95)` returns the fewest workers with which 95 % of all events are done, wait and service, within *p95*; Poisson
     arrivals, exponential service with the mean *takes*; None where no number of workers is enough. `check_06_2(workers_for)`
06.3 `bound` is a number of events, `policy` one of "raise", "drop newest", "drop oldest", "wait", `because` a text of three sentences or more: the
     options `bound=` and `when_full=` of a component with one worker of constantly 4 ms, 300 arrivals a second for 60 s, latency 0.4 s at most,
     and the fewest refused. In a copy each stands there as `...`, in a line before the marks. `check_06_3(bound, policy, because)`
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

from edakit.classroom.bounded import NoEndError, run_bounded
from edakit.classroom.exercises import NotYetError, answered, exercise, real, sentences, virtual, whole
from edakit.clock import NS, to_ns
from edakit.component import Component
from edakit.distributions import Constant, Exponential
from edakit.errors import QueueFullError
from edakit.events import Context, Event
from edakit.measuring.theory import mg1, mmc

__all__ = ["check_06_1", "check_06_2", "check_06_3"]

TAKES: Final = 0.004  # [s]


@exercise(
    "06.1",
    "The wait for any service law",
    points=2,
    hints=(
        "Half of the wait at constant times: which factor makes one formula of both?",
        "The wait of M/M/1 is utilisation * takes / (1 - utilisation). Put the mean of 1 and variability before it.",
        "utilisation = rate * takes; return (1 + variability) / 2 * utilisation * takes / (1 - utilisation)",
    ),
)
def check_06_1(wait: Callable[[float, float, float], float]) -> str:
    """Compare *wait* with the formula of Pollaczek and Khinchine, for other rates and laws."""
    for rate, takes, variability in ((225, TAKES, 1), (225, TAKES, 0), (100, TAKES, 0.25), (45, 0.02, 4), (1, TAKES, 2)):
        said = answered(wait(rate, takes, variability), f"wait({rate}, {takes}, {variability})")
        right = mg1(service_rate=1 / takes, scv=variability).wait(rate)
        number = real(said)
        if number is None or not math.isclose(number, right, rel_tol=0.001):
            nothing = "This happens when something else than a number is given back."
            because = nothing if number is None else _why_wait(number, rate, takes, variability)
            raise NotYetError(
                f"{said!r} from wait({rate}, {takes}, {variability})" if number is None else f"{number:.6g} s from wait({rate}, {takes}, {variability})",
                f"{right:.4g} s",
                because,
                "the waits at 90 % busy: 18 ms at variability 0, 36 ms at 1, 90 ms at 4",
            )
    return "Tried: constant, exponential, in between and beyond, from nearly idle to busy for 90 % of the time."


def _why_wait(said: float, rate: float, takes: float, variability: float) -> str:
    busy = rate * takes
    memoryless = busy * takes / (1 - busy)
    right = (1 + variability) / 2 * memoryless
    reasons = {
        # At constant times this is the next one, which then takes its place.
        2 * right: "This is twice the wait: the mean of two numbers is half of their sum.",
        memoryless: "Right for exponential times, double for constant ones.",
        right + takes: "This is the latency: the service is in it. The wait ends when the service begins.",
        1000 * right: "This is in milliseconds.",
        (1 + variability**2) / 2 * memoryless: "variability is squared already: it is the variance divided by the square of the mean.",
        (1 + math.sqrt(variability)) / 2 * memoryless: "variability is the variance divided by the square of the mean; take no root of it.",
        variability * memoryless: "With constant service times orders still wait, since arrivals are random: half of the wait comes from them.",
        right / takes: "This is the backlog, in services: multiply it by the time that one takes.",
    }
    found = next((reason for value, reason in reasons.items() if math.isclose(said, value, rel_tol=0.001)), None)
    return found or "This happens when the service time's mean is taken for its rate, or the rule fits two of the variabilities and not the third."


CASES: Final = ((100, TAKES, 0.05), (240, TAKES, 0.05), (900, TAKES, 0.016), (100, 0.02, 0.07))
IMPOSSIBLE: Final = (20, 0.1, 0.2)
PATIENCE = 10.0  # for an answer that there is none [s]
SEARCH = 20.0  # for one that there is [s]


@exercise(
    "06.2",
    "As many workers as it takes",
    points=3,
    seconds=120.0,
    hints=(
        "Enough for the mean load is the least that works at all. From there on, count up until 95 % are in time.",
        "mmc(service_rate=1 / takes, workers=n).response_law(rate).percentile(95) is the p95 of the latency.",
        "However many there are, one event takes its service time: where -takes * ln(0.05) exceeds p95, return None first.",
    ),
)
def check_06_2(workers_for: Callable[[float, float, float], int | None]) -> str:
    """Compare *workers_for* with M/M/c in four cases, and in one that no number of workers meets."""
    for rate, takes, wanted in CASES:
        call = f"workers_for({rate}, {takes}, {wanted})"
        right = fewest(rate, takes, wanted)
        said = answered(_found(workers_for, (rate, takes, wanted), call, right), call)
        if said != right:
            raise NotYetError(
                f"{said!r} from {call}", str(right), _why_workers(said, right, rate * takes), "the p95 of the latency with as many workers as you say"
            )
    _says_none(workers_for)
    most = max(fewest(*case) for case in CASES)
    return f"Tried: four loads from one worker to {most}, and one that none can meet."


def _found(workers_for: Callable[[float, float, float], int | None], case: tuple[float, float, float], call: str, right: int) -> int | None:
    try:
        return run_bounded(lambda: workers_for(*case), SEARCH)
    except NoEndError as error:
        because = "This happens when what is searched for never comes, such as a p95 in milliseconds that is to be below one in seconds."
        raise NotYetError(f"no end of {call} after {SEARCH:g} s", str(right), because, "the unit on each side of the comparison") from error


def fewest(rate: float, takes: float, p95: float) -> int:
    """Return the fewest workers with which 95 % of the latencies are within *p95* [s]; there must be some."""
    workers = math.floor(rate * takes) + 1
    while mmc(service_rate=1 / takes, workers=workers).response_law(rate).percentile(95) > p95:
        workers += 1
    return workers


def _why_workers(said: object, right: int, load: float) -> str:
    if not isinstance(said, int):
        return "This happens when the search ends before it finds one." if said is None else "Workers come in whole numbers."
    if said == math.ceil(load):
        return "Enough for the mean load, p95 not met."
    if said < right:
        return "This happens when the wait alone is compared with p95, or its mean: the event has to be served too."
    return "More than needed: this happens when the search begins too high, or demands p95 of something larger."


def _says_none(workers_for: Callable[[float, float, float], int | None]) -> None:
    call = f"workers_for({', '.join(map(str, IMPOSSIBLE))})"
    said: object = ...
    try:
        said = run_bounded(lambda: workers_for(*IMPOSSIBLE), PATIENCE)
        seen = f"{said!r} from {call}"
    except NoEndError:
        seen = f"no end of {call} after {PATIENCE:g} s"
    except (ArithmeticError, RecursionError) as error:
        seen = f"{type(error).__name__} from {call}"
    if said is not None:
        longest = -IMPOSSIBLE[1] * math.log(0.05)
        because = f"No number helps: the work itself is too slow. 5 % of the services alone take longer than {longest:.1f} s."
        raise NotYetError(seen, "None", because, "the service time, before you begin to search")


class _Ordered(Event):
    """One order, of many."""


LIMIT: Final = 0.4  # [s]
POLICIES: Final = ("raise", "drop newest", "drop oldest", "wait")
OVERLOADS: Final = ((300, 60), (350, 20))  # arrivals [1/s], and for how long [s]
NEEDLESS: Final = 40  # refused more than need be: what a bound a third smaller costs [events]
SENTENCES = 3


@exercise(
    "06.3",
    "Bound and policy",
    points=5,
    seconds=120.0,
    hints=(
        "50 orders a second are too many, for 60 s: 3,000 must go somewhere. Which place is left, if nobody may wait longer than 0.4 s?",
        "The newest order waits for all before it: 4 ms each. How many fit into 0.4 s, its own service included?",
        'A bound of 95 with "drop newest", say: the queue stays short, and who is refused knows it at once.',
    ),
)
def check_06_3(bound: int | None, policy: str, because: str) -> str:
    """Let a burst of other rates and lengths come to a component with *bound* and *policy*."""
    if policy not in POLICIES:
        raise NotYetError(f"policy {policy!r}", f"one of {', '.join(POLICIES)}", "This happens when it is written in other words.", "the options of Component")
    most = whole(bound)
    if bound is not None and (most is None or most < 1):
        what = "This happens when a time or a text is given, or what a division gave: 95.0 is no whole number for Python, int(95.0) is."
        raise NotYetError(f"bound {bound!r}", "a whole number of 1 or more", what, "the unit of bound: events")
    said = [_judge(most, policy, rate, seconds) for rate, seconds in OVERLOADS]
    if (count := sentences(because)) < SENTENCES:
        what = "Whoever runs the shop has to be told why orders are refused. A sentence ends with a full stop."
        raise NotYetError(
            f"{count} sentence{'' if count == 1 else 's'}",
            f"{SENTENCES} or more",
            what,
            "what the shopper sees, what the queue can do, and what you would do at twice the load",
        )
    return " ".join(said)


def _judge(bound: int | None, policy: str, rate: int, seconds: int) -> str:
    refused, longest = _overload(bound, policy, rate, seconds)
    seen = f"at {rate}/s for {seconds} s, {refused:,} refused, and the longest latency is {longest:.3g} s"
    if longest > LIMIT:
        raise NotYetError(seen, f"{LIMIT} s at most", _why_slow(policy, refused, longest), "what the queue does with 50 orders a second that nobody can handle")
    best, _ = _overload(round(LIMIT / TAKES) - 5, "drop newest", rate, seconds)
    if refused > best + NEEDLESS:
        because = f"This happens when the bound is smaller than need be: within {LIMIT} s a worker handles {LIMIT / TAKES:.0f}."
        raise NotYetError(seen, f"about {best:,} refused", because, "how many services fit into 0.4 s")
    return f"{seen.capitalize()}."


def _why_slow(policy: str, refused: int, longest: float) -> str:
    if policy == "wait":
        return f"Back-pressure stores the surplus too: now the publishers stand in line, the newest of them for {longest:.0f} s."
    if longest > 2 * LIMIT:
        return f"Refused {refused:,}, the newest waits {longest:.0f} s: the queue stored the surplus."
    return "A little too large: the order in service and the order's own service count as well."


def _overload(bound: int | None, policy: str, rate: int, seconds: int) -> tuple[int, float]:
    """Return how many orders were refused, and the longest latency of the others [s]."""
    # Publishers who wait are a queue of their own, without a bound, before the other.
    component = Component("stock", takes=Constant(TAKES), bound=None if policy == "wait" else bound, when_full="raise" if policy == "wait" else policy)  # type: ignore[arg-type]
    component.on(_Ordered)(_handle)
    app, told = virtual(component), []

    def publish() -> None:
        try:
            app.publish(_Ordered())
        except QueueFullError as error:
            told.append(error)

    random, due, gaps = Random(f"06.3/{rate}"), 0, Exponential(1 / rate)
    while (due := due + gaps.draw(random)) < to_ns(seconds):
        app.call_at(due, publish)
    app.run_until_idle()
    app.close()
    rows = app.trace.deliveries
    dropped = sum(row.outcome == "refused" for row in rows)
    published = {row.event: row.published_at for row in app.trace.publications}
    longest = max((row.done_at - published[row.event] for row in rows if row.outcome == "handled"), default=0)
    return len(told) + dropped, longest / NS


def _handle(event: _Ordered, context: Context) -> None:
    """Do nothing: the time goes by in takes=."""
