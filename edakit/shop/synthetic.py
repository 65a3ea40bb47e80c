"""A catalogue and an ordinary day, made up: small files that look like Online Retail and hold nothing of it but its proportions.

Where a proportion matters, values are not drawn but *spread*: the n values of a quantity are its quantiles at (k + 1/2) / n in a seeded order.
So a day of 84 invoices has the proportions of 25,900.

Source:
    All proportions were counted from Chen, D. (2015). Online Retail [Dataset]. UCI Machine Learning Repository, data set 352.
    https://doi.org/10.24432/C5BW33, licence CC BY 4.0.
"""

from __future__ import annotations

import csv
import io
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from random import Random
from typing import Final, NamedTuple, TypeVar

from edakit.shop.catalogue import Catalogue, Product
from edakit.shop.retail import COLUMNS

__all__ = ["PRODUCTS", "catalogue", "catalogue_csv", "day_csv"]

_T = TypeVar("_T")
_Curve = Sequence[tuple[float, float]]

PRODUCTS: Final = 500
"""Size of the made-up catalogue [products]; the real one has 4,037."""

# Quantiles, (share, value): the value that this share of all does not exceed.
_LINES_PER_ORDER: Final = ((0, 1), (0.1, 1), (0.25, 4), (0.5, 13), (0.75, 27), (0.9, 51), (0.95, 74), (0.99, 211), (0.999, 591), (1, 1114))
_LINES_PER_CANCELLATION: Final = ((0, 1), (0.5, 1), (0.75, 2), (0.9, 4), (0.95, 7), (0.99, 18), (1, 101))
_QUANTITY: Final = ((0, 1), (0.25, 1), (0.4, 2), (0.5, 3), (0.6, 6), (0.75, 10), (0.9, 24), (0.95, 30), (0.99, 100), (0.999, 480), (1, 960))
_QUANTITY_RETURNED: Final = ((0, 1), (0.25, 1), (0.5, 2), (0.75, 6), (0.9, 19), (1, 60))
_PRICE: Final = ((0, 12), (0.01, 19), (0.05, 42), (0.1, 65), (0.25, 125), (0.5, 208), (0.75, 413), (0.9, 795), (0.95, 995), (0.99, 1800), (1, 2995))  # [pence]
# Share of all lines that the most popular share of products has: half of the lines come from 12 % of the products.
_POPULARITY: Final = ((0, 0), (0.005, 0.055), (0.01, 0.098), (0.025, 0.188), (0.05, 0.3), (0.1, 0.455), (0.1184, 0.5), (0.2, 0.654), (0.5, 0.926), (1, 1))
# Invoices by hour of the day, from 06.
_HOURS: Final = (0.001, 0.001, 0.024, 0.070, 0.114, 0.122, 0.153, 0.130, 0.121, 0.119, 0.075, 0.047, 0.013, 0.009, 0.001)
_FIRST_HOUR: Final = 6
_INVOICES: Final = 84
_CANCELLATIONS: Final = 12
# By size, every seventh order from the largest on is a guest's: 14 % of the orders, and a quarter of the lines.
_ORDERS_PER_GUEST: Final = 7
# Lines that have to be refused: how many, code (the product's where empty), description, quantity, price.
_REFUSED: Final = (
    (5, "POST", "POSTAGE", 1, "18.00"),
    (3, "M", "Manual", 1, "4.25"),
    (1, "AMAZONFEE", "AMAZON FEE", 1, "12.50"),
    (4, "", "", 1, "0.00"),
    (4, "", "damaged", -8, "0.00"),
)

_COLOURS: Final = (
    "Red, Blue, Green, White, Black, Pink, Ivory, Silver, Golden, Rustic, Striped, Spotted, Paper, Tin, Wooden, Glass, Woollen, Enamel, Ceramic, Wicker"
)
_THINGS: Final = (
    "lantern, mug, cake stand, night light, photo frame, doormat, teapot, jewellery box, wall clock, lunch box, candle holder, bird table, cushion, "
    "coat rack, alarm clock, cookie jar, apron, bunting, star, heart, notebook, gift bag, umbrella, tray, money bank"
)


def catalogue() -> Catalogue:
    """Make the catalogue: products numbered from 1001, the most popular first."""
    random = Random("catalogue")
    names = _shuffled([f"{colour} {thing}" for thing in _THINGS.split(", ") for colour in _COLOURS.split(", ")], random)
    edges = [_at(_POPULARITY, rank / PRODUCTS) for rank in range(PRODUCTS + 1)]
    shares = [round(high - low, 6) for low, high in pairwise(edges)]
    prices = _prices(shares, random)
    return Catalogue(Product(product_id=str(1001 + rank), name=names[rank], price=prices[rank], popularity=shares[rank]) for rank in range(PRODUCTS))


def _prices(shares: Sequence[float], random: Random) -> dict[int, int]:
    """Give each product a price, so that the prices of the lines sold, not those of the products, are spread as they should be."""
    prices, sold = {}, 0.0
    for rank in _shuffled(range(len(shares)), random):
        prices[rank] = _quantile(_PRICE, sold + shares[rank] / 2)
        sold += shares[rank]
    return prices


def catalogue_csv() -> str:
    """Return the text of data/catalogue.csv."""
    products = catalogue().products.values()
    rows = ((product.product_id, product.name, product.price, f"{product.popularity:.6f}") for product in products)
    return _csv(("product_id", "name", "price_pence", "popularity"), rows)


def day_csv(seed: int = 1) -> str:
    """Return the text of data/day.csv: an ordinary day in the columns of Online Retail, sorted by time."""
    random = Random(f"day/{seed}")
    invoices = sorted(_invoices(random), key=lambda invoice: invoice.minute)
    return _csv(COLUMNS, (row for number, invoice in enumerate(invoices, 700_001) for row in invoice.rows(number)))


class _Sale(NamedTuple):
    """Columns 2, 3, 4 and 6 of a line."""

    code: str
    description: str
    quantity: int
    price: str


class _Invoice(NamedTuple):
    minute: int
    cancelled: bool
    customer: str
    sales: list[_Sale]

    def rows(self, number: int) -> Iterator[tuple[object, ...]]:
        invoice, when = f"{'C' * self.cancelled}{number}", f"2024-12-02 {self.minute // 60:02}:{self.minute % 60:02}:00"
        for sale in self.sales:
            yield invoice, sale.code, sale.description.upper(), sale.quantity, when, sale.price, self.customer, "United Kingdom"


def _invoices(random: Random) -> Iterator[_Invoice]:
    orders = _INVOICES - _CANCELLATIONS
    sizes = _spread(orders, partial(_quantile, _LINES_PER_ORDER), random)
    returned = _spread(_CANCELLATIONS, partial(_quantile, _LINES_PER_CANCELLATION), random)
    sold = _sales(sum(sizes), _QUANTITY, random)
    _refuse(sold, random)
    back = [sale._replace(quantity=-sale.quantity) for sale in _sales(sum(returned), _QUANTITY_RETURNED, random)]
    minutes = _spread(_INVOICES, _minute, random)
    guests = set(sorted(range(orders), key=lambda number: -sizes[number])[::_ORDERS_PER_GUEST])
    for number, size in enumerate(sizes + returned):
        cancelled = number >= orders
        sales = back if cancelled else sold
        customer = "" if number in guests else f"{12_001 + number}.0"
        yield _Invoice(minutes[number], cancelled, customer, [sales.pop() for _ in range(size)])


def _sales(count: int, quantities: _Curve, random: Random) -> list[_Sale]:
    products = list(catalogue().products.values())
    # The share of the lines, turned round, gives the rank of the product.
    rank = [(share, rank) for rank, share in _POPULARITY]
    chosen = _spread(count, lambda share: products[int(_at(rank, share) * PRODUCTS)], random)
    pieces = _spread(count, partial(_quantile, quantities), random)
    return [_Sale(product.product_id, product.name, quantity, f"{product.price / 100:.2f}") for product, quantity in zip(chosen, pieces, strict=True)]


def _refuse(sales: list[_Sale], random: Random) -> None:
    places = iter(_shuffled(range(len(sales)), random))
    for count, code, description, quantity, price in _REFUSED:
        for place in (next(places) for _ in range(count)):
            sales[place] = _Sale(code or sales[place].code, description, quantity, price)


def _minute(share: float) -> int:
    """Return the minute of the day before which *share* of the invoices are written."""
    hour = _FIRST_HOUR
    for part in _HOURS[:-1]:
        if share < part:
            break
        share, hour = share - part, hour + 1
    return hour * 60 + min(59, int(share / _HOURS[hour - _FIRST_HOUR] * 60))


def _at(curve: _Curve, share: float) -> float:
    """Return the value of *curve* at *share*, straight between its points."""
    after = bisect_left(curve, share, lo=1, hi=len(curve) - 1, key=lambda point: point[0])
    (low, at_low), (high, at_high) = curve[after - 1], curve[after]
    return at_low + (at_high - at_low) * (share - low) / (high - low)


def _quantile(curve: _Curve, share: float) -> int:
    """Return the quantile of *curve* at *share*; in a long tail the logarithm lies on a straight line, not the value."""
    return round(math.exp(_at([(place, math.log(value)) for place, value in curve], share)))


def _spread(count: int, value: Callable[[float], _T], random: Random) -> list[_T]:
    return _shuffled([value((k + 0.5) / count) for k in range(count)], random)


def _shuffled(values: Iterable[_T], random: Random) -> list[_T]:
    # Random.shuffle may draw differently in another version of Python, Random.random does not.
    return sorted(values, key=lambda _: random.random())


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
