"""What a chapter shows of a real broker: measured here where there is one, else as it was recorded, and it always says which."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal

from edakit.brokers import BrokerNotRunningError, running, url
from edakit.classroom.article import find_data
from edakit.measuring.attempts import CrewRun, load_runs, save_runs
from edakit.measuring.killing import kill_a_worker

__all__ = ["kills_on_rabbitmq", "record_kills"]

FILE: Final = "kill_rabbitmq.json"
POLICIES: Final[dict[str, Literal["after", "before"]]] = {"ack late": "after", "ack early": "before"}


def kills_on_rabbitmq() -> dict[str, CrewRun]:
    """Return the runs of `kill_a_worker` with both ack policies, on RabbitMQ; `where` tells on which one.

    It runs here if $EDAKIT_RABBITMQ names a server or `edakit brokers up rabbitmq` has started one; otherwise it is read from data/kill_rabbitmq.json.

    Raises:
        BrokerError: the server that the environment names cannot be reached.
        CourseNotFoundError: there is no server, and no record.
    """
    try:
        address = url("rabbitmq")
    except BrokerNotRunningError:
        return load_runs(find_data(FILE))
    return _kills(address, "on this computer")


def record_kills(path: str) -> None:
    """Run both on a RabbitMQ of this machine, and write them to *path*.

    Raises:
        BrokerNotFoundError: none is installed.
    """
    with running("rabbitmq") as address:
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        save_runs(path, _kills(address, f"recorded {today} on {platform.system()} {platform.machine()}, Python {platform.python_version()}"))


def _kills(address: str, how: str) -> dict[str, CrewRun]:
    runs = {name: kill_a_worker(address, ack=ack) for name, ack in POLICIES.items()}
    return {name: replace(run, where=f"{run.where}, {how}") for name, run in runs.items()}
