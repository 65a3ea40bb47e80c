"""`edakit playback`: a real shop's recorded day goes through this shop's events, every line accounted for."""

# ruff: noqa: T201
# A command line prints.

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any, Final

from edakit.errors import EdakitError, InvalidValueError
from edakit.measuring import Run, measure
from edakit.shop.account import account, missing
from edakit.shop.app import COMPONENTS, Shop, build_shop, state_hash
from edakit.shop.elsewhere import play_back_to_workers
from edakit.shop.errors import NoSuchDayError
from edakit.shop.processes import dealt
from edakit.shop.recording import RecordedDay
from edakit.shop.retail import Line, read_retail
from edakit.shop.survey import FACTS, Survey

__all__ = ["add_arguments", "play_back", "run"]

SPEEDUP: Final = 600.0
"""Ten hours in a minute [1]."""
SOURCE: Final = "Chen, D. (2015). Online Retail [Dataset]. UCI Machine Learning Repository, data set 352. https://doi.org/10.24432/C5BW33, licence CC BY 4.0."
PICTURES: Final = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit playback`."""
    parser.add_argument(
        "csv", metavar="CSV", type=Path, help="Online Retail as a CSV file, or data/day.csv; may be compressed with gzip (data/README.md says where it is from)"
    )
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="which day; not needed where the file has only one")
    parser.add_argument("--speedup", metavar="N", default=f"{SPEEDUP:g}", help="how many times as fast as it was (default: %(default)s, ten hours in a minute)")
    parser.add_argument("--clock", choices=("virtual", "wall"), help="virtual (default): in seconds, the same on every machine; wall: in real time")
    parser.add_argument("--broker", metavar="URL", help="address of the broker (default: $EDAKIT_BROKER, else memory://)")
    parser.add_argument("--workers", metavar="N", type=int, help="run the shop's components in so many processes of their own, in real time")
    parser.add_argument("--kill", metavar="COMPONENT", choices=COMPONENTS, help="with --workers: kill its worker (kill -9) half-way through the largest order")
    parser.add_argument("--seed", type=int, default=0, help="seed of service times and of the seconds within a minute (default: %(default)s)")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw latency and throughput over time into this picture (.png, .svg, .pdf)")
    parser.add_argument("--record", metavar="FILE", type=Path, help="write counts, trace digest and state hash into this JSON file")
    parser.add_argument("--check", action="store_true", help="only count the lines, and compare with what the whole data set has")


def run(arguments: argparse.Namespace) -> int:
    """Play back, print the account; return the exit status.

    It is 0, 1 if a line is missing in the shop or in the file, 2 for an error that is explained, 130 after Ctrl-C.
    """
    try:
        return _check(arguments.csv) if arguments.check else _play_back(arguments)
    except EdakitError as error:
        print(f"edakit playback: {error}", file=sys.stderr)
        return 2


def _check(path: Path) -> int:
    survey = Survey()
    for _ in survey.watch(read_retail(path)):
        pass
    print(survey.table())
    return int(survey.facts != FACTS)


def _play_back(arguments: argparse.Namespace) -> int:
    # Before anything is read or run: a minute later it would be a pity.
    speedup = _speedup(arguments.speedup)
    for file in filter(None, (arguments.plot, arguments.record)):
        _check_target(file)
    if arguments.plot and arguments.plot.suffix not in PICTURES:
        raise InvalidValueError("--plot", str(arguments.plot), f"a name that ends in {', '.join(PICTURES)}")
    _check_workers(arguments)
    day = RecordedDay(_lines_of(arguments.csv, arguments.day), speedup=speedup, seed=arguments.seed)
    if arguments.workers is not None:
        return _play_back_to_workers(day, arguments)
    shop, found = play_back(day, clock=arguments.clock or "virtual", broker=arguments.broker, seed=arguments.seed)
    print(account(day, shop), found, *_digests(found, shop), sep="\n\n")
    if arguments.record:
        arguments.record.write_text(json.dumps(_record(day, found, shop), indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        _plot(found, arguments.plot)
    if found.interrupted:  # what is missing then was not lost
        print("edakit playback: stopped before the end of the day", file=sys.stderr)
        return 130
    return 1 if _say_missing(day, shop) or found.lost else 0


def _say_missing(day: RecordedDay, shop: Shop) -> dict[str, int]:
    lost = missing(day, shop)
    for kind, count in lost.items():
        print(f"edakit playback: {count:,} lines that were {kind} are missing in the shop", file=sys.stderr)
    return lost


def _check_workers(arguments: argparse.Namespace) -> None:
    if arguments.workers is None:
        if arguments.kill:
            raise InvalidValueError("--kill", arguments.kill, "--workers as well: only a process can be killed")
        return
    dealt(arguments.workers)
    for option, value in (("--clock virtual", arguments.clock == "virtual"), ("--plot", arguments.plot)):
        if value:
            raise InvalidValueError(option, "given", "it without --workers: they live in real time and keep no trace")


def _play_back_to_workers(day: RecordedDay, arguments: argparse.Namespace) -> int:
    broker = arguments.broker or os.environ.get("EDAKIT_BROKER") or "memory://"
    found = play_back_to_workers(day, broker, workers=arguments.workers, kill=arguments.kill, seed=arguments.seed)
    print(account(day, found.shop), found.table(), *_digests(found.run, found.shop), "\n".join(found.workers.said), sep="\n\n")
    lost = _say_missing(day, found.shop)
    if found.unsettled:
        print(f"edakit playback: {found.unsettled:,} orders are neither confirmed nor cancelled", file=sys.stderr)
    if arguments.record:
        about = {"workers": arguments.workers, "killed": found.workers.killed, "lost": sum(lost.values()), "unsettled": found.unsettled}
        arguments.record.write_text(json.dumps(_record(day, found.run, found.shop) | about, indent=2) + "\n", encoding="utf-8")
    return 1 if lost or found.unsettled else 0


def play_back(day: RecordedDay, *, clock: Any = "virtual", broker: str | None = None, seed: int = 0) -> tuple[Shop, Run]:
    """Let the shoppers of *day* into a shop that has the day's products; return the shop as they left it, and what was measured.

    Args:
        day: What is played back.
        clock: As for `measure`.
        broker: As for `measure`.
        seed: Of the service times.
    """
    shop = build_shop(catalogue=day.catalogue(), clock=clock, broker=broker, seed=seed)
    when = f"{day.lines[0].time:%Y-%m-%d}, {day.speedup:g} times as fast"
    return shop, measure(shop, day, label=when)


def _speedup(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidValueError("--speedup", text, f"a number above 0, such as {SPEEDUP:g}") from None


def _check_target(file: Path) -> None:
    if not file.parent.is_dir() or file.is_dir():
        raise InvalidValueError("file", str(file), "a file's name in a folder that exists")


def _lines_of(path: Path, wanted: str | None) -> list[Line]:
    """Return the lines of the day that is *wanted*, or of the only one that there is."""
    try:
        day = date.fromisoformat(wanted) if wanted else None
    except ValueError:
        raise InvalidValueError("--day", wanted, "a day such as 2011-12-05") from None
    survey = Survey()
    lines = [line for line in survey.watch(read_retail(path)) if line.time.date() == day]
    if survey.problems:
        print(f"edakit playback: lines that cannot be read: {survey.kinds['unreadable']:,}, such as {'; '.join(survey.problems)}", file=sys.stderr)
    if not wanted and len(survey.days) == 1:
        return list(read_retail(path))
    if not lines:
        busiest = max(survey.days, key=lambda each: survey.days[each], default="")
        raise NoSuchDayError(wanted or "", [str(each) for each in sorted(survey.days)], str(busiest))
    return lines


def _digests(found: Run, shop: Shop) -> list[str]:
    # In real time no two runs are alike, but they come to the same end.
    trace = [f"trace  {found.trace.digest()}"] if found.clock == "virtual" else []
    return ["\n".join([*trace, f"state  {state_hash(shop)}"])]


def _record(day: RecordedDay, found: Run, shop: Shop) -> dict[str, Any]:
    about = {"source": SOURCE, "day": f"{day.lines[0].time:%Y-%m-%d}", "speedup": day.speedup, "seed": found.seed, "clock": found.clock}
    counts = {"lines": dict(sorted(day.kinds.items())), "orders": shop.state.orders.counts(), "events": found.events, "lost": found.lost}
    trace = {"trace": found.trace.digest()} if found.clock == "virtual" else {}
    return {**about, **counts, **trace, "state": state_hash(shop)}


def _plot(found: Run, file: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 (who wants no picture need not wait for it)

    from edakit.plots import plot_latency_over_time, plot_throughput_over_time  # noqa: PLC0415 (as above)

    figure = Figure(figsize=(9, 7))
    above, below = figure.subplots(2, sharex=True)
    tables = [plot_latency_over_time(above, {found.label: found}), plot_throughput_over_time(below, {found.label: found})]
    figure.savefig(file, metadata={"Title": tables[0].says} if file.suffix != ".pdf" else None)
    print(f"\n{file}: {tables[0].says} {tables[1].says}")
