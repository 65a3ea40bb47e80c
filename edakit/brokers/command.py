"""`edakit brokers`: one RabbitMQ and one Kafka for all programs of a user, on this machine only."""

# A command line prints.
# ruff: noqa: T201

from __future__ import annotations

import argparse
import time

from edakit.brokers.machine import KINDS, down, from_environment, redacted, status, up, url

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit brokers`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    for name, purpose in (("up", "start one, unless it runs"), ("url", "print its address, with its password"), ("down", "stop it, or all; data stay")):
        action = actions.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        action.add_argument("broker", choices=KINDS, nargs="?" if name == "down" else None)
        if name == "down":
            action.add_argument("--erase", action="store_true", help="remove its data too")
    actions.add_parser("status", help="say what runs, where, and since when", description="Say what runs, where, and since when.")
    actions.add_parser("table", help="print what each broker promises, in Markdown", description="Print what each broker promises, in Markdown.")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; 1 only where there is an error, which the caller explains."""
    {"up": _up, "url": _url, "down": _down, "status": _status, "table": _table}[arguments.action](arguments)
    return 0


def _up(arguments: argparse.Namespace) -> None:
    name = arguments.broker
    began = time.monotonic()
    node = up(name)
    if node is None:
        print(f"{KINDS[name].name} is given by $EDAKIT_{name.upper()}: {redacted(url(name))}")
    else:
        print(f"{node.name} runs at {redacted(node.url)} (process {node.state.pid}, {time.monotonic() - began:.1f} s)")
        print(f"Its whole address: edakit brokers url {name}. Stop it: edakit brokers down {name}.")


def _url(arguments: argparse.Namespace) -> None:
    print(url(arguments.broker))


def _down(arguments: argparse.Namespace) -> None:
    for name in [arguments.broker] if arguments.broker else KINDS:
        stopped = down(name, erase=arguments.erase)
        kept = " and its data are removed" if arguments.erase else ""
        print(f"{KINDS[name].name} {'is stopped' if stopped else 'did not run'}{kept}")
        if from_environment(name):
            print(f"$EDAKIT_{name.upper()} names another one, which is left alone")


def _status(_: argparse.Namespace) -> None:
    print(status())


def _table(_: argparse.Namespace) -> None:
    from edakit.brokers.page import page  # noqa: PLC0415 (it brings kombu, which no other action needs)

    print(page(), end="")
