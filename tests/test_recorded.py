"""Runs in files: what was saved comes back, and the committed runs of chapter 07 are what data/README.md says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edakit import Constant, Each, Steady, measure
from edakit.errors import InvalidValueError
from edakit.measuring import load_recording, save_recording
from edakit.shop import build_shop
from edakit.shop.catalogue import Catalogue, Product
from edakit.shop.everywhere import ADDRESSES, RECORDED, click

COMMITTED = Path(__file__).parents[1] / RECORDED
MUG = Product(product_id="1001", name="mug", price=450)


@pytest.fixture
def run():
    return measure(build_shop(), Each(Steady(50, 1.0), click), clock="virtual", seed=3, warmup=0.2)


def test_a_run_that_was_saved_comes_back_and_says_that_it_is_a_recording(run, tmp_path):
    save_recording({"RabbitMQ": run}, {"RabbitMQ": {"software": "RabbitMQ 3.10"}}, tmp_path, day="today")

    back = load_recording(tmp_path)["RabbitMQ"]

    assert back.about == {"software": "RabbitMQ 3.10"}
    assert back.run.label == "RabbitMQ (recorded)"
    assert np.array_equal(back.run.latency, run.latency)
    assert back.run.line() == run.line()
    assert json.loads((tmp_path / "runs.json").read_text())["made"] == {"day": "today"}


@pytest.mark.parametrize("policy", ["raise", "drop newest"])
def test_the_account_of_a_run_with_a_full_queue_comes_back_too(policy, tmp_path):
    shop = build_shop(stock=0, cart_bound=1, cart_when_full=policy, cart_takes=Constant(0.1), cart_max_attempts=1, catalogue=Catalogue([MUG]))
    run = measure(shop, Each(Steady(50, 1.0), click), clock="virtual")
    save_recording({"memory": run}, {"memory": {}}, tmp_path)

    back = load_recording(tmp_path)["memory"].run

    assert (back.refused, back.lost, back.dead, back.deaths) == (run.refused, run.lost, run.dead, run.deaths)
    assert run.refused
    assert run.deaths
    assert np.array_equal(back.backlog_at([0.5, 1.0]), run.backlog_at([0.5, 1.0]))


@pytest.mark.parametrize("damage", ["{", "{}", '{"runs": {"RabbitMQ": {}}}', '{"runs": {"RabbitMQ": {"run": {"speed": 1}, "about": {}}}}'])
def test_a_damaged_file_is_named(run, tmp_path, damage):
    save_recording({"RabbitMQ": run}, {"RabbitMQ": {}}, tmp_path)
    (tmp_path / "runs.json").write_text(damage)

    with pytest.raises(InvalidValueError, match=r"runs\.json"):
        load_recording(tmp_path)


@pytest.mark.parametrize("damaged", [lambda data: data[:-20], lambda data: b"no gzip", lambda data: data[:40] + b"no gzip" + data[47:]])
def test_a_trace_that_breaks_off_is_named(run, tmp_path, damaged):
    save_recording({"RabbitMQ": run}, {"RabbitMQ": {}}, tmp_path)
    trace = tmp_path / "rabbitmq.trace.gz"
    trace.write_bytes(damaged(trace.read_bytes()))

    with pytest.raises(InvalidValueError, match=r"rabbitmq\.trace\.gz .* give a whole file"):
        load_recording(tmp_path)


def test_the_committed_runs_are_of_all_four_brokers_came_to_one_end_and_lost_nothing():
    recorded = load_recording(COMMITTED)

    assert list(recorded) == list(ADDRESSES)
    assert len({each.about["kept"] for each in recorded.values()}) == 1
    assert len({len(each.run.publications) for each in recorded.values()}) == 1
    assert {(each.run.lost, each.run.dead, each.run.interrupted) for each in recorded.values()} == {(0, 0, False)}
    assert all(each.about["software"] for each in recorded.values())


def test_the_committed_runs_are_small_and_name_no_machine():
    files = sorted(COMMITTED.iterdir())

    assert [file.name for file in files] == ["kafka.trace.gz", "memory.trace.gz", "rabbitmq.trace.gz", "runs.json", "sqlite.trace.gz"]
    assert all(file.stat().st_size <= 100_000 for file in files)
    text = (COMMITTED / "runs.json").read_text(encoding="utf-8")
    assert "127.0.0.1" not in text
    assert "@" not in text
    assert {entry["run"]["broker"] for entry in json.loads(text)["runs"].values()} == set(ADDRESSES.values())
