"""The results: each value in docs/bench.csv, the table with its targets in docs/bench.md, the plot in docs/bench.png."""

from __future__ import annotations

import csv
import json
import statistics
from collections import defaultdict
from pathlib import Path

from tests.bench.brokers import facts, plot
from tests.bench.brokers.measure import Row
from tests.bench.brokers.plan import OURS, PEERS, TARGETS, Target
from tests.bench.brokers.sides import ROOT

DOCS = ROOT / "docs"
TEXT = """# edakit beside what a user would otherwise take

`make bench-brokers` writes this page, `bench.csv` (each value of each round) and `bench.png`.

{machine}

All peers use the same broker on the same machine.
In each round rates of publishing and latencies are measured in three slices, all peers in turn, as the machine is faster for some seconds and then slower;
so are acks in blocks and one by one, of which the middle value counts.
Every event has the same 200 bytes of JSON, and each consumer decodes it into a typed object.
On RabbitMQ every queue is a durable quorum queue, as edakit declares it, and messages are persistent.
Every consumer has a prefetch of 500, and acks after the work.
A pipelined publisher has up to 500 confirms under way.
On Kafka every topic has three partitions; producers are idempotent with `acks=all`.
On SQLite both sides write so that an event survives a power cut (`sync=full`), and each event is committed alone.
Publisher and consumer are two processes.
Rates count from the first event to the last; a lost event makes the run fail.
Latency counts from the time at which an event was meant to be published (open loop), with each publication confirmed.
FastStream runs as in its own benchmarks, with msgspec and without a logger, on uvloop.
Celery runs the solo pool, without results and events, and Dramatiq one thread.
The three groups are: each publication confirmed before the next, confirms pipelined, and none.
edakit always confirms, so it has no line in the third group.
aiokafka can also send a batch as one, with the same headers for all and into one partition.
That is quicker, and has a line of its own; edakit's events each have their own headers and key.

## Targets

A ratio is the median of the rounds' ratios; its range stands beside it.

{targets}

## Medians

{tables}
{profiles}![Rates and latencies by peer](bench.png)
"""


def save(docs: Path, rows: list[Row]) -> None:
    """Write all values, and what they were measured with."""
    with (docs / "bench.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {json.dumps(facts.known(), sort_keys=True)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows((*row[:4], f"{row.value:.4g}") for row in rows)


def read(docs: Path) -> list[Row]:
    """Return the values that were saved."""
    path = docs / "bench.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        facts.remember(json.loads(file.readline().removeprefix("# ")))
        return [Row(each["broker"], each["measure"], each["peer"], int(each["round"]), float(each["value"])) for each in csv.DictReader(file)]


def write(docs: Path) -> int:
    """Write table and plot, print the targets; return how many are missed."""
    rows = read(docs)
    lines, short = [], 0
    for target in TARGETS:
        line = _judge(target, rows)
        if line is not None:
            lines.append(line)
            short += line[-1] == "short"
            print(f"{line[0]:78} {line[1]:>7}  ({line[2]})  target {line[3]:9}  {line[4]}")
    text = TEXT.format(
        machine=facts.sentence(), targets=_table(("ratio", "median", "range", "target", ""), lines), tables=_medians(rows), profiles=_profiles(rows)
    )
    (docs / "bench.md").write_text(text, encoding="utf-8")
    plot.save(rows, docs / "bench.png")
    return short


def ratios(target: Target, rows: list[Row]) -> list[float]:
    """Return the ratio of each round in which both sides were measured."""
    by_round: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for row in rows:
        if row.broker == target.broker:
            by_round[row.round][row.peer, row.measure] = row.value
    found = []
    for values in by_round.values():
        others = [values[peer, target.base or target.measure] for peer in target.peers if (peer, target.base or target.measure) in values]
        if others and (OURS, target.measure) in values:
            found.append(values[OURS, target.measure] / (min if target.at_most else max)(others))
    return found


def missed(rows: list[Row]) -> list[Target]:
    """Return the targets that *rows* miss."""
    return [target for target in TARGETS if (line := _judge(target, rows)) is not None and line[-1] == "short"]


def _profiles(rows: list[Row]) -> str:
    """Return why a target is missed, for each that is."""
    found = [(target.says, facts.profile(target.says)) for target in missed(rows)]
    parts = [f"{says}, edakit's side:\n\n```text\n{text}\n```\n\n" for says, text in found if text]
    return "## Where the time goes where a target is missed\n\n" + "".join(parts) if parts else ""


def _judge(target: Target, rows: list[Row]) -> tuple[str, ...] | None:
    found = sorted(ratios(target, rows))
    if not found:
        return None
    median = statistics.median(found)
    reached = median <= target.bound if target.at_most else median >= target.bound
    bound = f"{'at most' if target.at_most else 'at least'} {target.bound:g}"
    return f"{target.broker}: {target.says}", f"{median:.3g}", f"{found[0]:.3g} to {found[-1]:.3g}", bound, "ok" if reached else "short"


def medians(rows: list[Row], broker: str) -> dict[str, dict[str, float]]:
    """Return the median of each measure of *broker*, by peer."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.broker == broker:
            values[row.measure][row.peer].append(row.value)
    return {measure: {peer: statistics.median(each) for peer, each in peers.items()} for measure, peers in values.items()}


def _medians(rows: list[Row]) -> str:
    text = ""
    for broker, peers in PEERS.items():
        if found := medians(rows, broker):
            names = [peer.name for peer in peers]
            lines = [(measure, *(_figure(values.get(name)) for name in names)) for measure, values in found.items()]
            text += f"### {broker}\n\n{_table(('', *names), lines)}\n\n"
    return text


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(heads: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))
