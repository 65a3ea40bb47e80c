"""`make bench-brokers`: edakit and what a user would otherwise take, on the same RabbitMQ, Kafka and SQLite.

python -m tests.bench.brokers                  all of it: 5 rounds; docs/bench.csv grows after each, docs/bench.md and docs/bench.png at the end
python -m tests.bench.brokers rabbitmq         one broker (rabbitmq, kafka, sqlite); what docs/bench.csv says of the others stays
python -m tests.bench.brokers --report         the table and the plot once more, from docs/bench.csv
The exit status is 1 where a target is missed or something could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu

from edakit.brokers import BrokerNotFoundError, running
from tests.bench.brokers import facts, report
from tests.bench.brokers.measure import Forget, LostError, Round, Row, Sides, profile, through_sqlite
from tests.bench.brokers.plan import PEERS, Peer
from tests.bench.brokers.sides import ENVIRONMENT, SideError, sides

PROFILED = 1000
"""How many events a profile has [events]."""


def main(arguments: list[str]) -> int:
    """Measure what is asked for; return the exit status."""
    chosen = _parser().parse_args(arguments)
    if not chosen.report:
        if not (ENVIRONMENT / "installed").exists():
            print(f"the peers are not installed ({ENVIRONMENT.name} is missing): make bench-brokers installs them")
            return 2
        docs = Path(chosen.docs)
        known = [row for row in report.read(docs) if row.broker.lower() not in (chosen.brokers or map(str.lower, PEERS))]
        missing = measure(chosen.brokers or [name.lower() for name in PEERS], chosen.rounds, chosen.scale, docs, known)
    else:
        missing = 0
    return 1 if report.write(Path(chosen.docs)) or missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.brokers")
    parser.add_argument("brokers", nargs="*", choices=[[], "rabbitmq", "kafka", "sqlite"], help="which; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="what the numbers of events are multiplied with")
    parser.add_argument("--report", action="store_true", help="do not measure")
    parser.add_argument("--docs", default=str(report.DOCS), help="where the results go")
    return parser


def measure(brokers: list[str], rounds: int, scale: float, docs: Path, rows: list[Row]) -> int:
    """Run the rounds of each broker; return how many brokers could not be measured to the end."""
    missing = 0
    with tempfile.TemporaryDirectory(prefix="edakit-bench-") as folder:
        for name in [name for name in PEERS if name.lower() in brokers]:
            try:
                for values in _rounds(name, rounds, scale, Path(folder)):
                    rows += values
                    report.save(docs, rows)
                report.save(docs, rows)  # with the profiles of what was missed
            except (BrokerNotFoundError, LostError, SideError) as error:
                missing += 1
                print(f"{name}: {error}")
                print((Path(folder) / "log").read_text()[-2000:] if (Path(folder) / "log").exists() else "")
    return missing


def _rounds(name: str, rounds: int, scale: float, folder: Path) -> Iterator[list[Row]]:
    rows: list[Row] = []
    with _broker(name) as (url, forget), sides(PEERS[name], url, folder / "log") as processes:
        for number in range(-1, rounds):
            # The round before the first has a tenth of the events: modules are loaded, the broker has files.
            size = scale / 10 if number < 0 else scale
            where = f"{name}, round {number + 1} of {rounds}" if number >= 0 else f"{name}, warming up"
            values = list(_told(where, _one(name, processes, number, size, folder, forget)))
            if number >= 0:
                rows += values
                yield values
        for number, target in enumerate(report.missed(rows)):
            place = str(folder / "profile.db") if name == "SQLite" else f"profile-{number}"
            facts.note_profile(target.says, profile(target.measure, processes, place, PROFILED))


def _told(where: str, rows: Iterator[Row]) -> Iterator[Row]:
    """Pass *rows* on, and say when the first value of each kind is there."""
    seen = set()
    for row in rows:
        if row.measure not in seen and row.measure.endswith(("/s]", "ms]")):
            print(f"{time.strftime('%H:%M:%S')}  {where}: {row.measure.partition(' [')[0]}", flush=True)
        seen.add(row.measure)
        yield row


def _one(name: str, processes: Sides, number: int, scale: float, folder: Path, forget: Forget) -> Iterator[Row]:
    if name == "SQLite":
        return through_sqlite(processes, number, scale, folder)
    return Round(name, processes, number % 1000, scale, forget).rows()


@contextmanager
def _broker(name: str) -> Iterator[tuple[str, Forget]]:
    """Give the address of a broker (of the environment, else one that is started for it), and what empties a place there."""
    if name == "SQLite":
        yield "sqlite", _leave
        return
    with running(name.lower(), private=True) as url:
        facts.note_broker(name, url)
        if name == "Kafka":
            yield url, _leave
            return
        with kombu.Connection(url) as connection:
            yield url, lambda peer, place, count: _delete(connection, peer, place, count)


def _leave(peer: Peer, place: str, count: int) -> int:
    """Leave it: a topic is read from its beginning only once."""
    return count


def _delete(connection: kombu.Connection, peer: Peer, place: str, count: int) -> int:
    """Delete a queue; return how many messages it had, after a moment in which they may become *count*."""
    queue, channel = f"{place}.orders" if peer.module == "ours" else place, connection.default_channel
    for _ in range(100):
        found = channel.queue_declare(queue, passive=True)
        if (found.message_count, found.consumer_count) == (count, 0):
            break
        time.sleep(0.05)
    channel.queue_delete(queue)
    return found.message_count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
