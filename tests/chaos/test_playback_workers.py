"""A real day on worker processes, one of which is killed half-way through the largest order: nothing is lost, and the end is that of virtual time."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from edakit.cli import main
from edakit.shop.app import state_hash
from edakit.shop.elsewhere import play_back_to_workers
from edakit.shop.playback import _lines_of, play_back
from edakit.shop.recording import RecordedDay
from tests.chaos.record import FULL

DATA = Path(__file__).parents[2] / "data"
DAY = "2011-12-05"
COMMITTED = json.loads((DATA / "playback.json").read_text(encoding="utf-8"))
SPEEDUP = 600 if FULL else 3600
CARELESS = (sys.executable, "-m", "tests.chaos.careless_worker")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


@pytest.fixture(params=["sqlite", "rabbitmq", "kafka"])
def url(request, tmp_path):
    if request.param == "kafka" and "kafka" not in os.environ.get("EDAKIT_REQUIRE", "").split(","):
        pytest.importorskip("confluent_kafka")
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return f"{request.getfixturevalue(request.param)}?namespace=t{uuid4().hex[:16]}"


def test_a_day_on_four_workers_ends_as_in_virtual_time_though_one_is_killed(url, online_retail, tmp_path, capsys):
    record = tmp_path / "record.json"
    words = ["--day", DAY, "--speedup", str(SPEEDUP), "--broker", url, "--workers", "4", "--kill", "cart", "--record", str(record)]

    status = main(["playback", str(online_retail), *words])

    with capsys.disabled():
        print(f"\n{capsys.readouterr().out}")
    found = json.loads(record.read_text(encoding="utf-8"))
    assert status == 0
    assert (found["killed"], found["lost"], found["unsettled"]) == (["cart"], 0, 0)
    assert {name: found[name] for name in ("lines", "orders", "events", "state")} == {name: COMMITTED[name] for name in ("lines", "orders", "events", "state")}

    assert main(["shop", "state", "--broker", url]) == 0
    assert f"state  {COMMITTED['state']}" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["forget", "barge in"])
def test_it_is_found_when_a_worker_forgets_or_barges_in(what, tmp_path):
    day = RecordedDay(_lines_of(DATA / "day.csv", None), speedup=7200)
    shop, _ = play_back(day)

    found = play_back_to_workers(day, f"sqlite:///{tmp_path / 'shop.db'}", workers=4, kill="cart", command=(*CARELESS, what), patience=15)

    assert found.workers.killed == ["cart"]
    assert state_hash(found.shop) != state_hash(shop)
