"""edakit: one shop, one API, every broker, and a clock you can choose.

`from edakit import …` gives the names of the language and of the machinery at once; names of the study floor (measuring) are loaded when
they are first used, because they bring numpy with them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Chapter 00: your first event
from edakit.app import App
from edakit.bus import Bus
from edakit.clock import SystemClock, VirtualClock
from edakit.component import Component
from edakit.delivery import Backoff, DeadLetter, Inbox

# Chapters 05 and 06: measure it properly, queues under load
from edakit.distributions import Constant, Erlang, Exponential, HyperExponential, LogNormal, Uniform
from edakit.errors import CapabilityError, EdakitError
from edakit.events import Command, Context, Event, Receipt
from edakit.faults import CrashPoint, Faults
from edakit.table import Table
from edakit.trace import Trace

__version__ = "0.1.0"

__all__ = [
    "App",
    "Backoff",
    "Burst",
    "Bus",
    "CapabilityError",
    "ClosedLoop",
    "Command",
    "Component",
    "Constant",
    "Context",
    "CrashPoint",
    "DatabaseInbox",
    "DayProfile",
    "DeadLetter",
    "Each",
    "EdakitError",
    "Erlang",
    "Event",
    "Exponential",
    "Faults",
    "HyperExponential",
    "Inbox",
    "LogNormal",
    "Playback",
    "Poisson",
    "Receipt",
    "Run",
    "Steady",
    "SystemClock",
    "Table",
    "Trace",
    "Uniform",
    "VirtualClock",
    "compare",
    "measure",
    "measure_trials",
    "mg1",
    "mm1",
    "mmc",
]


# Loaded when they are first used: the study floor brings numpy with it, the inbox on a database sqlite3.
_LATER = dict.fromkeys((name for name in __all__ if name not in globals()), "edakit.measuring") | {"DatabaseInbox": "edakit.inbox"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'edakit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
