"""RabbitMQ as a node of its own: it shares nothing with the system's RabbitMQ, not even the name server that Erlang starts for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from edakit.brokers.errors import BrokerCommandError, BrokerNotFoundError
from edakit.brokers.node import Node
from edakit.brokers.processes import HOST

__all__ = ["RabbitMQ", "find_scripts"]

USER = "edakit"
SUFFIX = ".bat" if sys.platform == "win32" else ""
# Where the scripts themselves are. Debian's /usr/sbin/rabbitmq-server is a wrapper that starts the system's node as the system's user.
USUAL = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/rabbitmq/sbin",
    "C:/Program Files/RabbitMQ Server/rabbitmq_server-*/sbin",
)
GREETING = b"AMQP\x00\x00\x09\x01"  # a client's first bytes; the answer is a method frame (type 1) on channel 0: AMQP 0-9-1, 4.2.2
ANSWER = b"\x01\x00\x00"


def find_scripts(path: str, usual: Iterable[str]) -> Path | None:
    """Return the folder of RabbitMQ's own scripts.

    Args:
        path: Where commands are looked for, as $PATH.
        usual: Where packages put them; * stands for the version, of which the last one is taken.
    """
    on_path = [(Path(folder) / f"rabbitmq-server{SUFFIX}").resolve().parent for folder in path.split(os.pathsep) if folder]
    return next((folder for folder in [*on_path, *_expand(usual)] if os.access(folder / f"rabbitmq-env{SUFFIX}", os.R_OK)), None)


def _expand(patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in map(Path, patterns):
        if pattern.anchor:
            yield from sorted(Path(pattern.anchor).glob(pattern.relative_to(pattern.anchor).as_posix()), reverse=True)


class RabbitMQ(Node):
    """One RabbitMQ of this machine, for checks that restart it, kill it, or forbid it something."""

    name = "RabbitMQ"
    purposes: ClassVar = ("amqp", "distribution", "epmd")
    usual: ClassVar = USUAL

    @property
    def url(self) -> str:
        """Its address, for its administrator."""
        return self.url_for(USER, self.state.password)

    def url_for(self, user: str, password: str, vhost: str = "/") -> str:
        """Return its address for another user or virtual host."""
        return f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@{HOST}:{self.port}/{quote(vhost, safe='')}"

    @classmethod
    def find(cls) -> Path:
        """Return the folder of RabbitMQ's scripts.

        Raises:
            BrokerNotFoundError: it is not installed where packages put it, and not on the PATH.
        """
        if scripts := find_scripts(os.environ.get("PATH", ""), cls.usual):
            return scripts
        raise BrokerNotFoundError(cls.name)

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Return whether a broker greets back there."""
        try:
            with socket.create_connection((host, port), timeout=2) as connection:
                connection.sendall(GREETING)
                return connection.recv(len(ANSWER)) == ANSWER
        except OSError:
            return False

    def command(self) -> list[str]:
        """Write the configuration, and return the words that start the server."""
        lines = {
            "listeners.tcp.1": f"{HOST}:{self.state.ports['amqp']}",
            "default_user": USER,
            "default_pass": self.state.password,
            **self.settings(),
        }
        (self.folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()), encoding="utf-8")
        (self.folder / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        return [str(self.find() / f"rabbitmq-server{SUFFIX}")]

    def environment(self) -> dict[str, str]:
        """Return an environment in which nothing of the system's RabbitMQ is used."""
        system = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return {
            **system,
            **_home(self.folder),  # the cookie is there
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self.state.ports["epmd"]),
            "RABBITMQ_NODENAME": "edakit@localhost",  # known only to the epmd of its own; the data are filed under it, so it never changes
            "RABBITMQ_DIST_PORT": str(self.state.ports["distribution"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "no-rabbitmq-env.conf"),  # the system's could set all of these
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_BASE": str(self.folder),  # for Windows
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server, instead of a shell that waits for it
        }

    def ask_to_stop(self) -> None:
        """Ask the server to end: by a signal, which Windows has not."""
        if os.name == "nt":
            self.control("stop")
        else:
            super().ask_to_stop()

    def control(self, *words: str, typed: str = "") -> str:
        """Run `rabbitmqctl` for this node and return what it prints.

        Args:
            words: The command and its arguments.
            typed: What it reads, such as a password: every user of the machine can read arguments.

        Raises:
            BrokerCommandError: it failed, with what it said.
        """
        # RabbitMQ 4 knows what reads by the number of words: with one more it waits for ever.
        command = [str(self.find() / f"rabbitmqctl{SUFFIX}"), *([] if typed else ["--quiet"]), *words]
        done = subprocess.run(  # noqa: S603 (found on this machine; the words are ours)
            command, env=self.environment(), input=typed, capture_output=True, text=True, check=False, timeout=self.patience
        )
        if done.returncode:
            raise BrokerCommandError(f"rabbitmqctl {' '.join(words)}", (done.stderr or done.stdout).strip())
        return done.stdout

    def add_vhost(self, vhost: str) -> None:
        """Make a virtual host, and let its administrator do everything there."""
        self.control("add_vhost", vhost)
        self.allow(USER, vhost=vhost)

    def add_user(self, user: str, password: str) -> str:
        """Make a user who may do nothing yet; return the address for that user."""
        self.control("add_user", user, typed=f"{password}\n")
        return self.url_for(user, password)

    def allow(self, user: str, *, vhost: str = "/", configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """Let *user* declare, publish to and consume from what these patterns match; "^$" matches nothing."""
        self.control("set_permissions", "--vhost", vhost, user, configure, write, read)


def _home(folder: Path) -> Mapping[str, str]:
    if os.name == "nt":
        return {"HOMEDRIVE": folder.drive, "HOMEPATH": str(folder)[len(folder.drive) :], "USERPROFILE": str(folder)}
    return {"HOME": str(folder)}
