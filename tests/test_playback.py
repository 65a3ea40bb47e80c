from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from edakit.cli import main
from edakit.errors import InvalidValueError
from edakit.measuring.publisher import OpenPublisher
from edakit.shop.account import account, missing
from edakit.shop.app import build_shop, state_hash
from edakit.shop.playback import _lines_of, play_back
from edakit.shop.recording import RecordedDay
from edakit.shop.retail import COLUMNS

DATA = Path(__file__).parents[1] / "data"
DAY = "2011-12-05"
COMMITTED = json.loads((DATA / "playback.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def real_day(online_retail):
    return RecordedDay(_lines_of(online_retail, DAY), speedup=COMMITTED["speedup"], seed=COMMITTED["seed"])


@pytest.fixture
def made_up():
    return RecordedDay(_lines_of(DATA / "day.csv", None), speedup=600.0)


def test_the_real_day_gives_the_committed_trace_each_time_it_is_played_back(real_day):
    for _ in range(2):
        shop, run = play_back(real_day, seed=COMMITTED["seed"])

        assert (run.trace.digest(), state_hash(shop)) == (COMMITTED["trace"], COMMITTED["state"])
        assert (run.events, run.lost, run.twice, run.dead) == (COMMITTED["events"], 0, 0, 0)
        assert shop.state.orders.counts() == COMMITTED["orders"]


def test_each_line_of_the_real_day_is_added_returned_or_refused(real_day):
    shop, _ = play_back(real_day)

    assert sum(real_day.kinds.values()) == 5_331
    assert dict(real_day.kinds) == COMMITTED["lines"]
    assert missing(real_day, shop) == {}
    assert account(real_day, shop).column("in the shop")[:2] == [COMMITTED["lines"]["added"], COMMITTED["lines"]["returned"]]


def test_another_seed_is_another_run_with_the_same_end(made_up):
    (shop, run), (other_shop, other) = (play_back(made_up, seed=seed) for seed in (0, 1))

    assert run.trace.digest() != other.trace.digest()
    assert state_hash(shop) == state_hash(other_shop)


def test_in_real_time_the_shop_comes_to_the_same_end_as_in_virtual_time(made_up):
    made_up.speedup = 12_000.0
    shop, run = play_back(made_up, clock="virtual")
    real_shop, real_run = play_back(made_up, clock="wall")

    assert state_hash(real_shop) == state_hash(shop)
    assert (real_run.events, real_run.lost) == (run.events, 0)


def test_lines_that_do_not_arrive_are_missing_in_the_account(made_up):
    shop = build_shop(catalogue=made_up.catalogue(), clock="virtual", components=["cart"])
    kinds = made_up.kinds

    assert missing(made_up, shop) == {"added": kinds["added"], "returned": kinds["returned"]}
    assert account(made_up, shop).says == "No order."


def test_the_command_prints_the_account_the_run_and_the_digests(capsys, tmp_path):
    status = main(["playback", str(DATA / "day.csv"), "--record", str(tmp_path / "record.json")])

    said, record = capsys.readouterr().out, json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert status == 0
    assert "added                     1,739        1,739" in said
    assert "throughput [1/s]" in said
    assert f"trace  {record['trace']}" in said
    assert f"state  {record['state']}" in said


def test_a_shop_that_loses_a_line_makes_the_command_fail(capsys, monkeypatch):
    class Forgetful(OpenPublisher):
        def send(self, message, due_at):
            return None if message.__class__.__name__ == "AddItem" and message.quantity == 7 else super().send(message, due_at)

    monkeypatch.setattr("edakit.measuring.publisher.OpenPublisher", Forgetful)

    assert main(["playback", str(DATA / "day.csv")]) == 1
    assert "lines that were added are missing in the shop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--day", "5.12.2011"], "--day is '5.12.2011'; give a day such as 2011-12-05"),
        (["--day", "2011-12-05"], "the file has no line of 2011-12-05 (it has 2024-12-02 only); choose one, such as --day 2024-12-02"),
        (["--speedup", "0"], "speedup is 0.0; give a number of 0.001 or more"),
        (["--speedup", "fast"], "--speedup is 'fast'; give a number above 0"),
        (["--speedup", "nan"], "speedup is nan; give a number of 0.001 or more"),
        (["--speedup", "1e-308"], "speedup is 1e-308; give a number of 0.001 or more"),
        (["--plot", "day.doc"], "--plot is 'day.doc'; give a name that ends in .png, .svg, .pdf"),
        (["--plot", "no/such/folder/day.png"], "give a file's name in a folder that exists"),
        (["--record", "."], "give a file's name in a folder that exists"),
        (["--broker", "redis://localhost"], "not offered, because"),
        (["--broker", "amqp://localhost"], "run in virtual time"),
        (["--kill", "cart"], "--kill is 'cart'; give --workers as well"),
        (["--workers", "0"], "--workers is 0; give a whole number from 1 to 11"),
        (["--workers", "12"], "--workers is 12; give a whole number from 1 to 11"),
        (["--workers", "2"], "memory:// cannot do this: play a day back to workers"),
        (["--workers", "2", "--clock", "virtual"], "--clock virtual is 'given'; give it without --workers"),
        (["--workers", "2", "--plot", "day.png"], "--plot is 'given'; give it without --workers"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_before_anything_runs(words, message, capsys):
    assert main(["playback", str(DATA / "day.csv"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_file_with_several_days_asks_for_one(capsys, tmp_path):
    rows = [",".join(COLUMNS), *(f"{number},85123A,MUG,1,2010-12-0{number} 08:26:00,2.55,,France" for number in (1, 2, 2))]
    (tmp_path / "days.csv").write_text("\n".join(rows), encoding="utf-8")

    assert main(["playback", str(tmp_path / "days.csv")]) == 2
    assert "the file has several days (it has 2 days from 2010-12-01 to 2010-12-02); choose one, such as --day 2010-12-02" in capsys.readouterr().err


def test_a_day_of_which_the_shop_takes_no_line_is_not_given_to_workers(capsys, tmp_path):
    (tmp_path / "day.csv").write_text("\n".join([",".join(COLUMNS), "A1,B,Adjust,1,2010-12-01 08:26:00,2.55,,France"]), encoding="utf-8")

    assert main(["playback", str(tmp_path / "day.csv"), "--workers", "2", "--broker", f"sqlite:///{tmp_path / 'day.db'}"]) == 2
    assert "lines is '1 that are refused'; give a day of which the shop takes at least one" in capsys.readouterr().err
    assert not (tmp_path / "day.db").exists()


def test_a_day_that_somebody_stops_says_so_and_nothing_of_lost_lines(monkeypatch, capsys):
    class Stopped(OpenPublisher):
        def send(self, message, due_at):
            if self.app.trace.publications:
                raise KeyboardInterrupt
            return super().send(message, due_at)

    monkeypatch.setattr("edakit.measuring.publisher.OpenPublisher", Stopped)

    assert main(["playback", str(DATA / "day.csv")]) == 130
    assert capsys.readouterr().err == "edakit playback: stopped before the end of the day\n"


@pytest.mark.parametrize("day", [[], ["--day", "2010-12-01"]])
def test_a_line_that_cannot_be_read_is_told_and_the_others_are_played_back(capsys, tmp_path, day):
    rows = [",".join(COLUMNS), "1,85123A,MUG,1,2010-12-01 08:26:00,2.55,,France", "2,85123A,MUG,many,2010-12-01 08:26:00,2.55,,France"]
    (tmp_path / "day.csv").write_text("\n".join(rows), encoding="utf-8")

    assert main(["playback", str(tmp_path / "day.csv"), *day]) == 0
    said = capsys.readouterr()
    assert "lines that cannot be read: 1, such as line 3: invalid literal for int() with base 10: 'many'" in said.err
    assert "1 confirmed" in said.out


def test_the_check_tells_the_whole_data_set_from_a_part_of_it(capsys, online_retail):
    assert main(["playback", str(online_retail), "--check"]) == 0
    assert "This is the whole data set: 541,909 lines" in capsys.readouterr().out

    assert main(["playback", str(DATA / "day.csv"), "--check"]) == 1
    assert "This is not the whole data set" in capsys.readouterr().out


def test_the_plot_shows_latency_and_throughput(capsys, tmp_path):
    assert main(["playback", str(DATA / "day.csv"), "--plot", str(tmp_path / "day.svg")]) == 0

    picture = (tmp_path / "day.svg").read_text(encoding="utf-8")
    assert picture.startswith("<?xml")
    assert "day.svg: " in capsys.readouterr().out


@pytest.mark.parametrize("speedup", ["5", None, 1e-4, math.nan])
def test_a_speedup_that_is_none_is_refused(speedup):
    with pytest.raises(InvalidValueError, match="speedup is"):
        RecordedDay(_lines_of(DATA / "day.csv", None), speedup=speedup)


def test_lines_that_lie_centuries_apart_are_no_day():
    first, *_, last = _lines_of(DATA / "day.csv", None)

    with pytest.raises(InvalidValueError, match=r"the time from first to last line is .*; give lines of a day"):
        RecordedDay([first, last._replace(time=last.time.replace(year=9999))])
