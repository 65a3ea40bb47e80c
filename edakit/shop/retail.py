"""Online Retail, a real shop's order lines: read line by line, each one added, returned, or refused with its reasons.

Source:
    Chen, D. (2015). Online Retail [Dataset]. UCI Machine Learning Repository, data set 352. https://doi.org/10.24432/C5BW33, licence CC BY 4.0.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, NamedTuple

from edakit.shop.errors import RetailFileError

__all__ = ["COLUMNS", "Line", "Refusal", "read_retail"]

COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
"""What a file must have, in any order; more may be there."""

# 2010-12-01 08:26:00 as in the copy with the course; 12/1/2010 8:26 as a spreadsheet writes it.
_DATES: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M")
_LONGEST_CODE: Final = 64
_MOST: Final = 1_000_000  # pieces, and pounds: the data set ends at 80,995 and 38,970


class Refusal(StrEnum):
    """Why a line is neither added nor returned. A line may have several reasons; the first, in this order, is the one that it is counted for."""

    UNREADABLE = "unreadable"
    BAD_DEBT = "bad debt"
    WRITE_OFF = "write-off"
    QUANTITY = "wrong sign of the quantity"
    PRICE = "price of zero or less"
    NO_PRODUCT = "no product"


class Line(NamedTuple):
    """One line of an invoice.

    Attributes:
        number: Its line in the file, from 2.
        invoice: Number of the invoice; that of a cancellation begins with C.
        product_id: StockCode.
        name: Description; empty where there is none.
        quantity: How many; negative in cancellations [pieces].
        time: When, to the minute.
        price: Unit price [pence].
        customer: Number of the customer; empty for a guest.
        country: Where the customer lives.
        refusals: Why it is refused; empty where it is not.
        problem: What cannot be read.
    """

    number: int
    invoice: str
    product_id: str
    name: str
    quantity: int
    time: datetime
    price: int
    customer: str
    country: str
    refusals: tuple[Refusal, ...] = ()
    problem: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether it belongs to a cancellation."""
        return self.invoice.startswith("C")

    @property
    def kind(self) -> str:
        """What becomes of it: "added", "returned", or why it is refused."""
        if self.refusals:
            return str(self.refusals[0])
        return "returned" if self.cancelled else "added"


def read_retail(path: str | Path) -> Iterator[Line]:
    """Yield the lines of the file at *path*, which may be compressed with gzip, in the order of the file.

    A line whose values cannot be read is yielded as refused (`Refusal.UNREADABLE`, and the problem).

    Raises:
        RetailFileError: there is no such file, or it is none of this kind: what was found, and what to do.
    """
    with _explained(str(path)), _opened(Path(path)) as text:
        rows = csv.reader(text, strict=True)
        read = _reader()
        try:
            places = _places(next(rows, []))
            for row in rows:
                if row:
                    yield read(rows.line_num, row, places)
        except csv.Error as error:
            raise _UnreadableError(f"line {rows.line_num} breaks off ({error}); look for a quotation mark that is not closed") from None


class _UnreadableError(ValueError):
    """What is wrong with the file, in words."""


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except _UnreadableError as error:
        raise RetailFileError(path, str(error)) from None
    except UnicodeDecodeError as error:
        near = error.object[max(0, error.start - 20) : error.start + 10].decode("latin-1")
        raise RetailFileError(
            path, f"it is not in UTF-8, by a byte in {near!r}; open it as what it is (latin-1, perhaps) and save it as CSV in UTF-8"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RetailFileError(path, f"its compressed data are broken ({error}); fetch the file again") from None
    except OSError as error:
        raise RetailFileError(path, f"{(error.strerror or str(error)).lower()}; give the path of Online Retail as a CSV file (data/README.md)") from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as raw:
        magic = raw.read(2)
        raw.seek(0)
        if magic == b"PK":
            raise _UnreadableError("this is a zip archive or an Excel workbook; open it in a spreadsheet and save the sheet as CSV in UTF-8")
        # utf-8-sig: spreadsheets begin a CSV file with a byte order mark.
        with io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if magic == b"\x1f\x8b" else raw, "utf-8-sig", newline="") as text:
            yield text


def _places(header: Sequence[str]) -> tuple[int, ...]:
    names = [name.strip() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if not names:
        raise _UnreadableError("the file is empty; fetch it again")
    if missing:
        found = ", ".join(names)[:200]
        raise _UnreadableError(f"no column {', '.join(missing)} (found: {found}); the first line must name the columns {', '.join(COLUMNS)}")
    return tuple(map(names.index, COLUMNS))


def _reader() -> Callable[[int, Sequence[str], tuple[int, ...]], Line]:
    """Return a function that reads one row; it remembers the few different times, since parsing them would take most of the time."""
    known: dict[str, datetime] = {}
    make = Line

    def read(number: int, row: Sequence[str], places: tuple[int, ...]) -> Line:
        try:
            invoice, code, name, pieces, when, pounds, customer, country = [row[place] for place in places]
            time = known.get(when) or known.setdefault(when, _time(when))
            quantity, price = int(pieces), float(pounds)
        except IndexError:
            return _unreadable(number, f"{len(row)} values for {len(COLUMNS)} columns")
        except ValueError as error:
            return _unreadable(number, str(error))
        if not (invoice and len(code) <= _LONGEST_CODE and -_MOST < quantity < _MOST and -_MOST < price < _MOST):
            return _unreadable(number, f"invoice {invoice!r}, code {code[:80]!r}, quantity {quantity}, price {price}")
        # Most lines are right: the reasons are looked for only where one is.
        fine = quantity > 0 and price > 0 and code[:1].isdigit() and invoice[0] not in "AC"
        refusals = () if fine else tuple(_refusals(invoice, code, quantity, price))
        return make(number, invoice, code, name.strip(), quantity, time, round(price * 100), customer.removesuffix(".0"), country, refusals)

    return read


def _time(text: str) -> datetime:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).replace(second=0)  # noqa: DTZ007 (the shop's local time)
        except ValueError:
            continue
    raise ValueError(f"{text[:80]!r} is no time such as 2010-12-01 08:26:00")


def _unreadable(number: int, problem: str) -> Line:
    return Line(number, "", "", "", 0, datetime.min, 0, "", "", (Refusal.UNREADABLE,), problem)  # noqa: DTZ901 (never compared with a time zone)


def _refusals(invoice: str, code: str, quantity: int, price: float) -> Iterator[Refusal]:
    cancelled = invoice.startswith("C")
    if invoice.startswith("A"):
        yield Refusal.BAD_DEBT
    if quantity < 0 and not cancelled:
        yield Refusal.WRITE_OFF
    if quantity == 0 or (cancelled and quantity > 0):
        yield Refusal.QUANTITY
    if price <= 0:
        yield Refusal.PRICE
    # The 33 codes that are no product (POST, DOT, M, C2, D, S, BANK CHARGES, gift_…) are those that do not begin with a digit.
    if not code[:1].isdigit():
        yield Refusal.NO_PRODUCT
