"""The same shop on every broker: the clicks, the addresses that are found, and that all of them come to one end."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from amqp.exceptions import NotFound

from edakit import Each, Poisson, Steady, measure
from edakit.brokers import answering, machine
from edakit.brokers.processes import free_ports
from edakit.bus import Bus
from edakit.classroom.course import promises, recorded_runs, side_by_side
from edakit.cli import main
from edakit.measuring import load_recording
from edakit.shop import AddItem, CartViewed, CheckOut, build_shop
from edakit.shop.everywhere import ADDRESSES, RATE, SECONDS, SEED, addresses, click, kept, run_on
from tests.real_brokers import real_broker


def in_virtual_time(**options):
    shop = build_shop(takes={}, clock="virtual", seed=SEED, **options)
    run = measure(shop, Each(Poisson(RATE, SECONDS), click), first=Each(Steady(RATE, 0.3), click))
    return shop, run


def test_five_clicks_are_one_shopper_and_every_third_leaves_a_full_cart():
    clicks = [click(number, Random(number)) for number in range(30)]

    assert [each.cart_id for each in clicks] == [f"c-{number // 5}" for number in range(30)]
    assert [type(clicks[number]) for number in range(4, 30, 5)] == [CartViewed, CheckOut, CheckOut] * 2
    assert Counter(map(type, clicks))[AddItem] == 12


def test_without_a_server_there_are_the_two_that_need_none(monkeypatch, tmp_path):
    monkeypatch.setenv("EDAKIT_STATE", str(tmp_path / "state"))
    for name in ("EDAKIT_RABBITMQ", "EDAKIT_KAFKA"):
        monkeypatch.delenv(name, raising=False)

    found = addresses(tmp_path)

    assert list(found) == ["memory", "sqlite"]
    assert Path(found["sqlite"].removeprefix("sqlite:///")).parent == tmp_path


def test_a_server_that_does_not_answer_is_not_there(monkeypatch, tmp_path):
    [unused_port] = free_ports(1)
    monkeypatch.setenv("EDAKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("EDAKIT_RABBITMQ", f"amqp://guest:guest@127.0.0.1:{unused_port}")
    monkeypatch.setenv("EDAKIT_KAFKA", f"kafka://127.0.0.1:{unused_port}")

    assert list(addresses(tmp_path)) == ["memory", "sqlite"]
    assert answering("rabbitmq") is None


def test_a_server_that_answers_gets_a_namespace_of_its_own_each_time_and_keeps_its_options(monkeypatch, tmp_path):
    monkeypatch.setitem(machine.KINDS, "rabbitmq", Answers)
    monkeypatch.setitem(machine.KINDS, "kafka", Answers)
    monkeypatch.setenv("EDAKIT_RABBITMQ", "amqp://a:b@host/shop?namespace=class")
    monkeypatch.setenv("EDAKIT_KAFKA", "kafka://host:9092?session=6")

    first, second = addresses(tmp_path), addresses(tmp_path)

    assert first["RabbitMQ"].startswith("amqp://a:b@host/shop?namespace=class-ch07-")
    assert first["RabbitMQ"] != second["RabbitMQ"]
    assert first["Kafka"].startswith("kafka://host:9092?session=6&namespace=ch07-")
    assert first["Kafka"].endswith("&partitions=3")
    assert first["Kafka"] != second["Kafka"]
    assert first["sqlite"] != second["sqlite"]


class Answers:
    """A kind of broker that always answers."""

    name = "a broker"

    @staticmethod
    def answers(host, port):
        return True


@pytest.fixture(scope="module")
def right():
    """What a shop keeps that has no broker and no real time."""
    shop, _ = in_virtual_time()
    return kept(shop)


def test_what_is_kept_changes_with_carts_orders_and_read_models(right):
    shop, _ = in_virtual_time()
    assert kept(shop) == right
    for change in (
        lambda state: state.badge.pieces.add("c-0"),
        lambda state: state.best_sellers.pieces.add("1001"),
        lambda state: state.product_detail.shown.add("1001"),
        lambda state: state.cart.lines.setdefault("c-0", {}).update({"1001": 9}),
        lambda state: state.cart_view.carts.lines.setdefault("c-0", {}).update({"1001": 9}),
        lambda state: state.orders.orders.clear(),
    ):
        other, _ = in_virtual_time()
        change(other.state)
        assert kept(other) != right


def test_a_shop_that_misses_one_component_keeps_something_else(right):
    shop, _ = in_virtual_time(components=["cart", "orders", "stock", "payment", "badge"])

    assert kept(shop) != right


@pytest.mark.parametrize("broker", ["memory", "sqlite"])
def test_without_a_server_the_shop_comes_to_the_same_end(broker, right, tmp_path):
    run, end = run_on(addresses(tmp_path)[broker])

    assert end == right
    assert run.lost == 0


def test_edakit_record_runs_the_shop_on_all_four_and_all_come_to_the_same_end(right, tmp_path, monkeypatch, capsys):
    with real_broker("rabbitmq") as rabbitmq, real_broker("kafka") as kafka:
        monkeypatch.setenv("EDAKIT_RABBITMQ", rabbitmq)
        monkeypatch.setenv("EDAKIT_KAFKA", kafka)

        assert main(["record", "--folder", str(tmp_path)]) == 0

    recorded = load_recording(tmp_path)
    assert {name: each.about["kept"] for name, each in recorded.items()} == dict.fromkeys(ADDRESSES, right)
    assert [each.run.lost for each in recorded.values()] == [0, 0, 0, 0]
    printed = capsys.readouterr().out
    assert all(name in printed for name in ADDRESSES)
    assert "127.0.0.1" not in (tmp_path / "runs.json").read_text(encoding="utf-8")


def test_edakit_record_says_which_server_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EDAKIT_STATE", str(tmp_path / "state"))
    for name in ("EDAKIT_RABBITMQ", "EDAKIT_KAFKA"):
        monkeypatch.delenv(name, raising=False)

    assert main(["record", "--folder", str(tmp_path)]) == 1

    assert "RabbitMQ" in capsys.readouterr().err
    assert not (tmp_path / "runs.json").exists()


def test_the_recording_came_to_the_same_end(right):
    assert {each.about["kept"] for each in recorded_runs().values()} == {right}


def test_runs_that_are_all_here_are_shown_in_the_order_of_the_brokers():
    run = in_virtual_time()[1]

    assert list(side_by_side({"Kafka": run, "memory": run, "sqlite": run, "RabbitMQ": run})) == list(ADDRESSES)


def test_where_one_is_missing_all_four_are_recorded_and_their_names_say_so():
    run = in_virtual_time()[1]

    shown = side_by_side({"memory": run, "sqlite": run, "Kafka": run})

    assert list(shown) == [f"{name} (recorded)" for name in ADDRESSES]
    assert all(each is not run for each in shown.values())


def test_the_promises_are_those_of_the_conformance_suite():
    table = promises()

    assert table.columns[0] == "question"
    assert any(name.startswith("kombu") for name in table.columns)
    assert any(name.startswith("edakit") for name in table.columns)


def test_a_run_leaves_no_queue_on_rabbitmq(tmp_path, monkeypatch):
    with real_broker("rabbitmq") as rabbitmq:
        monkeypatch.setenv("EDAKIT_RABBITMQ", rabbitmq)
        address = addresses(tmp_path)["RabbitMQ"]
        run_on(address)

        with closing(Bus(address)) as bus, pytest.raises(NotFound):
            bus.connect().channel().queue_declare("cart", passive=True)
