"""With what it was measured: versions and machine, without its name."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import kombu

import edakit
from edakit.brokers import Kafka, from_environment
from tests.bench.brokers.sides import python_of_peers

_NAMES = ("aio-pika", "aiokafka", "celery", "confluent-kafka", "dramatiq", "faststream", "kombu", "msgspec", "pika", "sqlalchemy", "uvloop")
_ASK = f"import json; from importlib.metadata import version; print(json.dumps({{name: version(name) for name in {_NAMES!r}}}))"
_PROFILE = "profile of "
_kept: dict[str, str] = {}


def remember(earlier: dict[str, str]) -> None:
    """Keep what was known of an earlier run whose values stay."""
    _kept.update(earlier)


def note_broker(name: str, url: str) -> None:
    """Ask a broker, or where it is ours its file, for its version."""
    if name == "RabbitMQ":
        with kombu.Connection(url) as connection:
            _kept[name] = connection.connect().server_properties["version"]
    else:
        found = None if from_environment("kafka") else re.search(r"-(\d[\d.]+)\.jar", Kafka.find().name)
        _kept[name] = found[1] if found else "of the environment"


def note_profile(target: str, lines: list[str]) -> None:
    """Keep why a target is missed."""
    _kept[_PROFILE + target] = "\n".join(lines)


def profile(target: str) -> str:
    """Return it, or nothing."""
    return _kept.get(_PROFILE + target, "")


@cache
def _now() -> dict[str, str]:
    peers = json.loads(subprocess.run([python_of_peers(), "-c", _ASK], capture_output=True, check=True, text=True).stdout)
    ours = {"edakit": edakit.__version__, "edakit's kombu": version("kombu"), "edakit's confluent-kafka": version("confluent-kafka")}
    machine = {"machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}", "Python": platform.python_version()}
    return machine | ours | peers


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", information.read_text()) if sys.platform == "linux" and information.exists() else None
    return found[1] if found else platform.processor()


def known() -> dict[str, str]:
    """Return what is known, by name."""
    return _kept | _now()


def sentence() -> str:
    """Return it as a paragraph."""
    found = {name: text for name, text in _kept.items() if not name.startswith(_PROFILE)}
    machine, python = found.pop("machine", "?"), found.pop("Python", "?")
    return f"Measured on {machine}; Python {python}; {', '.join(f'{name} {found[name]}' for name in sorted(found, key=str.lower))}."
