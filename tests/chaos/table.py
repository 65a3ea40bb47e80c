"""docs/chaos.csv and docs/chaos.md: one row for each check and broker; a run replaces only its own rows."""

from __future__ import annotations

import csv
import io
import platform
import re
import sqlite3
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edakit.brokers import BrokerNotFoundError, from_environment
from edakit.brokers.machine import KINDS
from tests.real_brokers import UNDER_TEST

FOLDER = Path(__file__).parents[2] / "docs"
STOCK = "stock kombu"
FIELDS = ("attempt", "confirmed", "uncertain", "applied", "lost", "duplicated_delivery", "double_applied", "dead", "out_of_order", "recovery_s", "seed")
COLUMNS = ("check", "broker", "case", *FIELDS, "more", "versions")
BROKERS = ("virtual", *UNDER_TEST)
Row = dict[str, str]


def keep(told: Iterable[Mapping[str, object]], folder: Path = FOLDER) -> None:
    """Put the records of one test into both files, in place of those of an earlier run."""
    rows = {_place(row): row for row in [*read(folder), *map(row_of, told)]}
    ordered = [rows[place] for place in sorted(rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ordered)
    _replace(folder / "chaos.csv", text.getvalue())
    _replace(folder / "chaos.md", page(ordered))


def read(folder: Path = FOLDER) -> list[Row]:
    """Return the rows that were kept."""
    path = folder / "chaos.csv"
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.exists() else []


def _replace(path: Path, text: str) -> None:
    whole = path.with_name(f"{path.name}.new")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)  # in one step: whoever reads it, or stops this run, finds the old or the new


def row_of(told: Mapping[str, object]) -> Row:
    """Return a record as a row: what the check is, what was counted, and what ran."""
    check, broker, case = re.fullmatch(r"(\S+)(?: (\w+))?(?:, )?(.*)", str(told["check"])).groups()
    known = {name: _shown(told[name]) for name in FIELDS}
    more = "; ".join(f"{name} {_shown(value)}" for name, value in told.items() if name not in {"check", *FIELDS} and value is not None)
    return {"check": check, "broker": broker or "", "case": case, **known, "more": more, "versions": versions(broker or "")}


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _place(row: Row) -> tuple[object, ...]:
    letter, number = row["check"][0], row["check"][1:]
    broker = BROKERS.index(row["broker"]) if row["broker"] in BROKERS else len(BROKERS)
    return letter, int(number) if number.isdigit() else 0, number, broker, row["broker"], row["case"]


def versions(broker: str) -> str:
    """Return what ran: the broker, and the libraries that speak to it."""
    libraries = {"amqp": ("kombu", "amqp"), "kafka": ("kombu", "confluent-kafka")}.get(broker, ("kombu",))
    servers = {
        "amqp": _server("rabbitmq", r"rabbitmq_server-([\d.]+)"),
        "kafka": _server("kafka", r"kafka_[\d.]+-([\d.]+\d)"),
        "sqlite": f"SQLite {sqlite3.sqlite_version}",
    }
    found = [servers.get(broker, ""), f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in libraries)]
    return ", ".join(filter(None, found))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _server(name: str, pattern: str) -> str:
    if from_environment(name):
        return f"{KINDS[name].name} of $EDAKIT_{name.upper()}"
    try:
        programs = KINDS[name].find()
    except BrokerNotFoundError:
        return ""
    # Debian's server is beside a folder that tells its version.
    found = re.search(pattern, " ".join([str(programs), *(str(path) for path in Path(str(programs)).parent.glob("lib/*"))]))
    return f"{KINDS[name].name} {found[1]}" if found else KINDS[name].name


HEAD = """# What holds under faults
`make chaos` runs these checks at their full size and writes this page. Each row is the record of one run.
*Lost* counts events that the broker confirmed and nobody ever applied; it must be 0.
*Again* counts deliveries that came a second time, and *twice* counts events that took effect twice, which must be 0.
A row with a *case* says what was done besides, or which mechanism was switched off so that the check must find it.
`virtual` is `memory://` in virtual time. *kombu alone* is the same check on kombu without edakit, where that fails it.
"""
SHOWN = {
    "check": "check",
    "broker": "broker",
    "case": "case",
    "attempt": "attempts",
    "applied": "applied",
    "lost": "lost",
    "duplicated_delivery": "again",
    "double_applied": "twice",
    "dead": "dead",
    "out_of_order": "out of order",
    "recovery_s": "recovery [s]",
    "more": "also",
}


def page(rows: Iterable[Row]) -> str:
    """Return the page that shows *rows*; what kombu alone did stands beside what edakit does."""
    rows = list(rows)
    stock = {(row["check"], row["broker"]): _in_words(row) for row in rows if row["case"] == STOCK}
    lines = [[*SHOWN.values(), "kombu alone", "versions"], ["---"] * (len(SHOWN) + 2)]
    for row in rows:
        if row["case"] != STOCK:
            beside = "" if row["case"] else stock.get((row["check"], row["broker"]), "")
            lines.append([*(row[name] for name in SHOWN), beside, row["versions"]])
    return HEAD + "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _in_words(row: Row) -> str:
    counted = [f"{SHOWN[name]} {row[name]}" for name in ("lost", "double_applied", "dead", "applied") if row[name]]
    return "; ".join([*counted, *filter(None, [row["more"]])]).replace("_", " ")
