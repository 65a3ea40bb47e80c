"""The committed data are what the library makes, and the made-up day has the proportions of the real shop (data/README.md)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from statistics import mean, median

import pytest

from edakit.shop import Catalogue, Product
from edakit.shop.errors import CatalogueFileError, UnknownProductError
from edakit.shop.retail import read_retail
from edakit.shop.synthetic import PRODUCTS, catalogue, catalogue_csv, day_csv

DATA = Path(__file__).parent.parent / "data"
HEADER = "product_id,name,price_pence,popularity\n"


@pytest.fixture(scope="module")
def day():
    return list(read_retail(DATA / "day.csv"))


def quantile(values, share):
    return sorted(values)[round(share * (len(values) - 1))]


def test_the_committed_files_are_what_the_functions_make():
    assert (DATA / "catalogue.csv").read_text(encoding="utf-8") == catalogue_csv()
    assert (DATA / "day.csv").read_text(encoding="utf-8") == day_csv()
    assert day_csv(seed=2) != day_csv(seed=1)


def test_the_committed_files_are_small():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 400_000


def test_the_catalogue_reads_back_as_it_was_made():
    assert Catalogue.read(DATA / "catalogue.csv").products == catalogue().products
    assert len({product.name for product in catalogue().products.values()}) == len(catalogue().products) == PRODUCTS


def test_an_ordinary_day_has_as_many_invoices_as_the_real_shops_median_day(day):
    invoices = {line.invoice for line in day}

    assert len(invoices) == 84
    # 3,836 of 25,900 invoices are cancellations: 14.8 %.
    assert sum(invoice.startswith("C") for invoice in invoices) / 84 == pytest.approx(0.148, abs=0.01)
    # 9,288 lines in 3,836 cancellations.
    assert mean(Counter(line.invoice for line in day if line.cancelled).values()) == pytest.approx(2.42, rel=0.15)


def test_lines_per_order_are_spread_as_in_the_real_shop(day):
    lines = list(Counter(line.invoice for line in day if not line.cancelled).values())

    assert median(lines) == pytest.approx(13, rel=0.05)
    assert quantile(lines, 0.9) == pytest.approx(51, rel=0.05)
    assert 211 <= max(lines) <= 1_114, "the largest of 72 lies between the 99th percentile and the maximum"
    assert mean(lines) == pytest.approx(24.1, rel=0.05)


def test_quantities_are_spread_as_in_the_real_shop(day):
    quantities = [line.quantity for line in day if line.quantity > 0]

    assert median(quantities) == 3
    assert quantile(quantities, 0.9) == pytest.approx(24, rel=0.05)
    assert quantile(quantities, 0.99) == pytest.approx(100, rel=0.05)


def test_prices_are_spread_as_in_the_real_shop(day):
    prices = [line.price for line in day]

    assert quantile(prices, 0.1) == pytest.approx(65, rel=0.05)
    assert median(prices) == pytest.approx(208, rel=0.05)
    assert quantile(prices, 0.9) == pytest.approx(795, rel=0.05)
    assert quantile(prices, 0.99) == pytest.approx(1_800, rel=0.05)


def test_half_of_all_lines_come_from_the_top_12_percent_of_the_products(day):
    sold = [count for _, count in Counter(line.product_id for line in day).most_common()]

    assert sum(sold[: round(482 / 4_070 * PRODUCTS)]) / len(day) == pytest.approx(0.5, abs=0.02)


def test_invoices_come_by_the_hour_as_in_the_real_shop(day):
    shares = (0.001, 0.001, 0.024, 0.070, 0.114, 0.122, 0.153, 0.130, 0.121, 0.119, 0.075, 0.047, 0.013, 0.009, 0.001)
    hours = Counter({line.invoice: line.time.hour for line in day}.values())

    assert [hours[hour] for hour in range(6, 21)] == [pytest.approx(84 * share, abs=1) for share in shares]


def test_a_quarter_of_the_lines_are_guests_and_one_in_a_hundred_is_refused(day):
    assert sum(not line.customer for line in day) / len(day) == pytest.approx(135_080 / 541_909, abs=0.02)
    assert sum(bool(line.refusals) for line in day) / len(day) == pytest.approx(5_480 / 541_909, abs=0.002)
    assert sum(not line.name for line in day) / len(day) == pytest.approx(1_454 / 541_909, abs=0.002)


def test_popular_products_are_picked_more_often():
    random, products = Random(1), catalogue()
    picked = Counter(products.pick(random).product_id for _ in range(20_000))

    assert sum(picked[str(1001 + rank)] for rank in range(59)) / 20_000 == pytest.approx(0.5, abs=0.02)


def test_a_product_that_is_not_there_has_no_price_to_change():
    with pytest.raises(UnknownProductError, match=r"no product '9' \(it has 1: 1001\)"):
        Catalogue([Product(product_id="1001", name="Mug", price=100)]).change_price("9", 200)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"csv: the columns are \[\]"),
        (HEADER, "line 1: there is no product"),
        ("id,name\n1,Mug\n", r"line 1: the columns are \['id', 'name'\]; write product_id, name, price_pence and popularity"),
        (HEADER + "1,Mug,100\n", "line 2: 3 values for 4 columns"),
        (HEADER + "1,Mug,1.99,1\n", "line 2: .*'1.99'"),
        (HEADER + "1,Mug,-1,1\n", "line 2: .* negative price"),
        (HEADER + "1,Mug,1,nan\n", "line 2: .* no popularity"),
        (HEADER + "1,Mug,1,1\n1,Cup,1,1\n", "line 3: product '1' is there twice"),
        (HEADER + '1,"Mug,1,1\n', "line 2: .*unexpected end"),
    ],
)
def test_a_broken_catalogue_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "catalogue.csv"
    path.write_text(content)

    with pytest.raises(CatalogueFileError, match=message):
        Catalogue.read(path)


def test_a_catalogue_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CatalogueFileError, match=r"no\.csv: no such file"):
        Catalogue.read(tmp_path / "no.csv")
