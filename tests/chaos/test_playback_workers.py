"""A real day on worker processes, one of which is killed half-way through the largest order: nothing is lost, and the end is that of virtual time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from edakit.cli import main
from edakit.shop.account import missing
from edakit.shop.app import state_hash
from edakit.shop.command import shop_at
from edakit.shop.elsewhere import play_back_to_workers
from edakit.shop.playback import _lines_of, play_back
from edakit.shop.recording import RecordedDay
from tests.chaos.record import FULL

DATA = Path(__file__).parents[2] / "data"
COMMITTED = json.loads((DATA / "playback.json").read_text(encoding="utf-8"))
SPEEDUP, UNTIL = (600, 24) if FULL else (3600, 13)  # a third of the day's lines come before one o'clock
CARELESS = (sys.executable, "-m", "tests.chaos.careless_worker")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


@pytest.fixture(scope="module")
def real_day(online_retail):
    lines = _lines_of(online_retail, COMMITTED["day"])
    return RecordedDay((line for line in lines if line.time.hour < UNTIL), speedup=SPEEDUP, seed=COMMITTED["seed"])


@pytest.fixture(params=["sqlite", "rabbitmq", "kafka"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return f"{request.getfixturevalue(request.param)}?namespace=t{uuid4().hex[:16]}"


def test_a_day_on_four_workers_ends_as_in_virtual_time_though_one_is_killed(url, real_day, capsys):
    shop, run = play_back(real_day)

    found = play_back_to_workers(real_day, url, workers=4, kill="cart")

    with capsys.disabled():
        print(f"\n{found.table()}\n" + "\n".join(found.workers.said))
    assert (found.workers.killed, len(found.workers.away)) == (["cart"], 1)
    assert (missing(real_day, found.shop), found.unsettled) == ({}, 0)
    assert (found.run.events, found.shop.state.orders.counts()) == (run.events, shop.state.orders.counts())
    assert state_hash(found.shop) == state_hash(shop)
    assert state_hash(shop_at(url)[0]) == state_hash(shop)
    assert (state_hash(shop) == COMMITTED["state"]) is FULL


def test_the_command_kills_a_worker_and_prints_the_account_and_the_state(tmp_path, capsys):
    url, record = f"sqlite:///{tmp_path / 'shop.db'}?lease=3", tmp_path / "record.json"
    words = ["--speedup", "7200", "--broker", url, "--workers", "2", "--kill", "stock", "--record", str(record)]
    shop, _ = play_back(RecordedDay(_lines_of(DATA / "day.csv", None), speedup=7200))

    assert main(["playback", str(DATA / "day.csv"), *words]) == 0

    said, found = capsys.readouterr().out, json.loads(record.read_text(encoding="utf-8"))
    assert (found["workers"], found["killed"], found["lost"], found["unsettled"], found["state"]) == (2, ["stock"], 0, 0, state_hash(shop))
    assert "added                     1,739        1,739" in said
    assert "The worker of stock was killed, and another one served" in said
    assert main(["shop", "state", "--broker", url]) == 0
    assert f"state  {state_hash(shop)}" in capsys.readouterr().out

    assert main(["playback", str(DATA / "day.csv"), *words]) == 2
    assert "events of before, which would be counted too; give the address another namespace" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["forget", "barge in"])
def test_it_is_found_when_a_worker_forgets_or_barges_in(what, tmp_path):
    day = RecordedDay(_lines_of(DATA / "day.csv", None), speedup=7200)
    shop, _ = play_back(day)

    hashes = set()
    for number in range(4):  # whoever barges in may have luck once
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        found = play_back_to_workers(day, url, workers=4, kill="cart", command=(*CARELESS, what), patience=15)
        assert found.workers.killed == ["cart"]
        hashes.add(state_hash(found.shop))
        if hashes != {state_hash(shop)}:
            break

    assert hashes != {state_hash(shop)}
