"""The catalogue: which products the shop has, and what they cost."""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Final, Self

import msgspec

from edakit.component import Component
from edakit.events import Context
from edakit.shop.errors import CatalogueFileError, UnknownProductError
from edakit.shop.events import ProductPriceChanged

__all__ = ["Catalogue", "Product", "make_catalogue"]

_COLUMNS: Final = ["product_id", "name", "price_pence", "popularity"]


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product.

    Attributes:
        product_id: What it is known by.
        name: What it is called.
        price: What one costs [pence].
        popularity: How often it is bought, relative to the others [1].
    """

    product_id: str
    name: str
    price: int
    popularity: float = 1.0


class Catalogue:
    """Products by their id, in the order given.

    Args:
        products: At least one, each id once.
    """

    def __init__(self, products: Iterable[Product]) -> None:
        self.products = {product.product_id: product for product in products}
        self._ids = list(self.products)
        self._edges = list(accumulate(product.popularity for product in self.products.values()))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a CSV file such as data/catalogue.csv.

        Raises:
            CatalogueFileError: the file is not there, or a line is no product.
        """
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                rows = csv.reader(file, strict=True)
                try:
                    return cls(_products(rows))
                except (ValueError, csv.Error) as error:
                    raise CatalogueFileError(str(path), rows.line_num, str(error)) from None
        except OSError as error:
            raise CatalogueFileError(str(path), 0, (error.strerror or str(error)).lower()) from None

    def write(self, path: str | Path) -> None:
        """Write what `read` reads."""
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)
            rows.writerows((each.product_id, each.name, each.price, each.popularity) for each in self.products.values())

    def prices(self) -> dict[str, int]:
        """Return a price list of one's own, by product id [pence]."""
        return {product.product_id: product.price for product in self.products.values()}

    def pick(self, random: Random) -> Product:
        """Draw a product, a popular one more often."""
        return self.products[self._ids[bisect_right(self._edges, random.random() * self._edges[-1], hi=len(self._ids) - 1)]]

    def change_price(self, product_id: str, price: int) -> None:
        """Let a product cost *price* [pence].

        Raises:
            UnknownProductError: there is no such product.
        """
        if product_id not in self.products:
            raise UnknownProductError(product_id, self.products)
        self.products[product_id] = msgspec.structs.replace(self.products[product_id], price=price)


def _products(rows: Iterator[list[str]]) -> list[Product]:
    header = next(rows, [])
    _check(header == _COLUMNS, f"the columns are {header}")
    products: dict[str, Product] = {}
    for product in map(_product, rows):
        _check(product.product_id not in products, f"product {product.product_id!r} is there twice")
        products[product.product_id] = product
    _check(bool(products), "there is no product")
    return list(products.values())


def _product(row: list[str]) -> Product:
    _check(len(row) == len(_COLUMNS), f"{len(row)} values for {len(_COLUMNS)} columns")
    product_id, name, price, popularity = row
    product = Product(product_id=product_id, name=name, price=int(price), popularity=float(popularity))
    _check(bool(product_id) and product.price >= 0 and 0 < product.popularity < math.inf, f"{product} has no id, a negative price or no popularity")
    return product


def _check(right: bool, problem: str) -> None:  # noqa: FBT001 (an assertion)
    if not right:
        raise ValueError(problem)


def make_catalogue(catalogue: Catalogue, **options: Any) -> Component:
    """Make the component that keeps *catalogue* up to date; *options* as for `Component`."""
    component = Component("catalogue", **options)

    @component.on(ProductPriceChanged)
    def change_price(event: ProductPriceChanged, _context: Context) -> None:
        """Write down what a product costs from now on."""
        catalogue.change_price(event.product_id, event.price)

    return component
