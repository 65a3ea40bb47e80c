"""A worker is killed, as kill -9 does it: what comes back, what is lost, and what is left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time

import psutil
import pytest

from edakit.classroom.recorded import kills_on_rabbitmq
from edakit.errors import CapabilityError, InvalidValueError, WaitTimeoutError
from edakit.measuring import kill_a_worker
from edakit.measuring.killing import _Process


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def begun_by(run, worker):
    return {attempt.order for attempt in run.attempts if attempt.worker == worker}


def unfinished(run):
    """Return the orders that the dead worker was stuck with: the one that was not packed, and the one that was."""
    stuck = [attempt for attempt in run.attempts if attempt.ended is None]
    [before] = [attempt.order for attempt in stuck if attempt.packed is None]
    [after] = [attempt.order for attempt in stuck if attempt.packed is not None]
    return before, after


def holds_with_a_late_ack(run):
    before, after = unfinished(run)
    assert (run.lost, run.twice) == (0, 1)
    assert run.parcels[before] == 1
    assert run.parcels[after] == 2
    assert {before, after} <= begun_by(run, 1)


def holds_with_an_early_ack(run):
    before, after = unfinished(run)
    assert (run.lost, run.twice) == (1, 0)
    assert run.parcels[before] == 0
    assert run.parcels[after] == 1
    assert not {before, after} & begun_by(run, 1)


def what_was_not_begun_comes_back(run):
    back = [attempt for attempt in run.attempts if attempt.redelivered]
    assert len(back) >= 4
    assert {attempt.worker for attempt in back} == {1}
    assert min(attempt.began for attempt in back) >= run.deaths[0].at


@pytest.mark.parametrize(("ack", "holds"), [("after", holds_with_a_late_ack), ("before", holds_with_an_early_ack)])
def test_in_a_file_what_a_killed_worker_had_comes_back_as_its_acks_say(ack, holds, folder):
    run = kill_a_worker(ack=ack)

    holds(run)
    what_was_not_begun_comes_back(run)
    assert run.where == "sqlite://"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("ack", "holds"), [("after", holds_with_a_late_ack), ("before", holds_with_an_early_ack)])
def test_on_rabbitmq_too(ack, holds, rabbitmq):
    run = kill_a_worker(rabbitmq, ack=ack)

    holds(run)
    what_was_not_begun_comes_back(run)
    assert run.where.startswith("RabbitMQ ")


def test_no_process_and_no_thread_is_left_behind():
    children, threads = set(psutil.Process().children()), set(threading.enumerate())

    kill_a_worker()

    assert set(psutil.Process().children()) <= children
    assert set(threading.enumerate()) <= threads


def test_no_process_and_no_file_is_left_behind_when_it_fails(folder, monkeypatch):
    monkeypatch.setattr("edakit.measuring.killing.PATIENCE", 0.0)

    with pytest.raises(WaitTimeoutError, match="two workers that are ready"):
        kill_a_worker()

    assert list(folder.iterdir()) == []


def test_a_process_that_cannot_begin_says_why():
    process = _Process({"url": "memory:/", "ack": "after", "prefetch": 10, "hands": 2, "takes": 0.0, "jams": {}})
    try:
        with pytest.raises(WaitTimeoutError, match=r"its process ended: .*memory:/"):
            wait_until(process.ready)
    finally:
        process.close()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_ends_when_its_input_does(tmp_path):
    settings = f'{{"url": "sqlite:///{tmp_path.as_posix()}/q.db", "ack": "after", "prefetch": 10, "hands": 2, "takes": 0.0, "jams": {{}}}}\n'

    done = subprocess.run([sys.executable, "-m", "edakit.measuring.packer"], input=settings, capture_output=True, text=True, check=True, timeout=120)

    assert '["ready"' in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("broker", ["memory://", "kafka://127.0.0.1:9092"])
def test_a_broker_on_which_two_processes_cannot_share_a_queue_is_refused(broker):
    with pytest.raises(CapabilityError, match="between two processes"):
        kill_a_worker(broker)


@pytest.mark.parametrize("wrong", [{"prefetch": 1}, {"prefetch": 40}, {"orders": 10}])
def test_an_experiment_that_could_not_come_to_its_end_is_refused(wrong):
    with pytest.raises(InvalidValueError, match="prefetch and orders"):
        kill_a_worker(**wrong)


def test_the_record_was_made_on_rabbitmq_and_holds_what_a_run_holds(monkeypatch, tmp_path):
    monkeypatch.delenv("EDAKIT_RABBITMQ", raising=False)
    monkeypatch.setenv("EDAKIT_STATE", str(tmp_path))

    runs = kills_on_rabbitmq()

    assert all(run.where.startswith("RabbitMQ ") and "recorded 20" in run.where for run in runs.values())
    holds_with_a_late_ack(runs["ack late"])
    holds_with_an_early_ack(runs["ack early"])
    for run in runs.values():
        what_was_not_begun_comes_back(run)


def test_where_there_is_a_rabbitmq_the_chapter_asks_it_and_says_so(rabbitmq, monkeypatch):
    monkeypatch.setenv("EDAKIT_RABBITMQ", rabbitmq)

    runs = kills_on_rabbitmq()

    assert all("on this computer" in run.where and "recorded" not in run.where for run in runs.values())
    assert {name: (run.lost, run.twice) for name, run in runs.items()} == {"ack late": (0, 1), "ack early": (1, 0)}
