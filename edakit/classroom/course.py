"""What chapter 07 shows of the course's own files: which promises were kept, and runs that were recorded."""

from __future__ import annotations

import csv
from collections.abc import Mapping

from edakit.classroom.article import find_data
from edakit.measuring import RecordedRun, Run, load_recording
from edakit.shop.everywhere import ADDRESSES, RECORDED
from edakit.table import Table

__all__ = ["promises", "recorded_runs", "side_by_side"]


def promises() -> Table:
    """Return data/conformance.csv: a row a promise, a column a transport, kombu's own and ours.

    Raises:
        CourseNotFoundError: there is no such file.
    """
    with find_data("conformance.csv").open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    return Table(columns, rows)


def recorded_runs() -> dict[str, RecordedRun]:
    """Return the runs of the shop on all four brokers that were recorded for those who have not got them all, by name.

    Raises:
        CourseNotFoundError: there is no recording.
    """
    return load_recording(find_data(f"{RECORDED.name}/runs.json").parent)


def side_by_side(runs: Mapping[str, Run]) -> dict[str, Run]:
    """Return four runs that may be compared, by broker: *runs* themselves if none is missing, else the recorded ones, and their names say so.

    All four are of one machine, and of one hour: your memory:// beside somebody else's Kafka would compare two computers.
    """
    if all(name in runs for name in ADDRESSES):
        return {name: runs[name] for name in ADDRESSES}
    return {f"{name} (recorded)": recorded.run for name, recorded in recorded_runs().items()}
