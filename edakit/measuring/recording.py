"""Workloads in files: one line a message, `seconds,type,json`, written by `record` and played back at any speed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from random import Random
from typing import cast

import msgspec

from edakit.checks import expect
from edakit.clock import NS, real
from edakit.errors import InvalidValueError
from edakit.events import Command, Event, EventMeta, Message, encode_body, type_name
from edakit.measuring.errors import WorkloadLineError
from edakit.measuring.workload import Workload

__all__ = ["LONGEST", "Playback", "record"]

HEAD = ["seconds", "type", "json"]
LONGEST = 10**9
"""Thirty years: nanoseconds since 1970 then still fit into 64 bits [s]."""


def record(workload: Workload, path: str | Path, *, seed: object = 0) -> int:
    """Write the messages of *workload*, drawn with *seed*, to the CSV file *path*; return how many [messages].

    Raises:
        EventTypeError, EventValueError: a message cannot travel as it is.
        InvalidValueError: *workload* is none.
    """
    expect("workload", workload, Workload, "messages with their times, such as Each(Poisson(rate=200, duration=60), make); the path comes after it")
    count = 0
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for due, message in workload.messages(Random(f"{seed}/workload")):
            writer.writerow([f"{due // NS}.{due % NS:09d}", type_name(message), encode_body(message).decode()])
            count += 1
    return count


class Playback:
    """A workload that was recorded: each line says when which message came.

    Args:
        path: A CSV file with the heading `seconds,type,json` and lines such as `12.5,cart.viewed,"{""cart_id"":""c-1""}"`, ascending in time.
        types: The classes of the messages in it.
        speedup: How many times as fast as it was [1].

    Raises:
        WorkloadLineError: a line is broken; it names file, line and what was found.
        InvalidValueError: *speedup* is not above 0 or so small that it takes more than thirty years, the file has no line, or *types* are no event classes.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | Path, types: Iterable[type[Message]], *, speedup: float = 1.0) -> None:
        if not 0 < real(speedup) < math.inf:
            raise InvalidValueError("speedup", speedup, "a number above 0: 600 plays ten hours back in a minute")
        self.path, self.speedup = Path(path), speedup
        known = list(types) if isinstance(types, Iterable) else [types]
        if not all(isinstance(each, EventMeta) for each in known):
            raise InvalidValueError("types", types, "the classes of the messages, in a list: [AddItem, CheckOut]")
        self._types = {type_name(each): each for each in known}
        self._lines = list(self._read())
        if not self._lines:
            raise InvalidValueError("path", str(path), "a file with at least one line under its heading")
        if self.duration > LONGEST:
            raise InvalidValueError("speedup", speedup, f"a larger number: at this one it takes {self.duration:.2g} s, and {LONGEST:,} s are thirty years")

    @property
    def duration(self) -> float:
        """When the last message is due [s]."""
        return self._lines[-1][0] / NS / self.speedup

    def __len__(self) -> int:
        return len(self._lines)

    def messages(self, random: Random) -> Iterator[tuple[int, Event | Command]]:  # noqa: ARG002 (a recording is what it is)
        """Yield each message with its due time, ascending [ns]."""
        for due, message in self._lines:
            # A float has no room for the nanoseconds of more than a hundred days.
            yield due if self.speedup == 1 else round(due / self.speedup), message

    def _read(self) -> Iterator[tuple[int, Event | Command]]:
        last, begin = 0, 0
        # What is not UTF-8 passes as lone surrogates, so that the line can be told in which it stands; spreadsheets put a mark before the first.
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = list(file)
        rows = csv.reader(lines, strict=True)
        try:
            for row in rows:
                if begin or row != HEAD:
                    last, message = self._parse(row, last)
                    yield last, message
                begin = rows.line_num
        except (ValueError, csv.Error) as error:
            problem = f"its commas or quotes are not those of CSV ({error})" if isinstance(error, csv.Error) else str(error)
            found = lines[begin].strip()[:80].encode(errors="replace").decode()
            raise WorkloadLineError(str(self.path), begin + 1, found, problem) from None

    def _parse(self, row: list[str], last: int) -> tuple[int, Event | Command]:
        """Read one line; *last* is the due time of the one before [ns]."""
        if len(row) != len(HEAD):
            raise ValueError(f"it has {len(row)} values instead of {len(HEAD)}")
        due = _nanoseconds(row[0])
        if due < last:
            raise ValueError(f"its time is before that of the line above, {last / NS:g} s")
        if row[1] not in self._types:
            raise ValueError(f"type {row[1]!r} is none of {', '.join(self._types) or 'no types'}")
        try:
            return due, cast("Event | Command", cast("EventMeta", self._types[row[1]]).schema.decode(row[2].encode()))
        except UnicodeEncodeError:
            raise ValueError("it is not in UTF-8") from None
        except msgspec.MsgspecError as error:
            raise ValueError(f"the JSON is no {row[1]} ({error})") from None


def _nanoseconds(text: str) -> int:
    try:
        # Decimal, so that what `record` wrote comes back to the nanosecond.
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = Decimal("nan")
    if not (seconds.is_finite() and 0 <= seconds < LONGEST):
        raise ValueError(f"the time is no number of seconds from 0 to {LONGEST:,}")
    return round(seconds * NS)
