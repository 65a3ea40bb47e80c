"""A node: one server on this machine, with its own folder, ports and state file, that can be killed and started again."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Self

import msgspec
import psutil

from edakit.brokers.errors import BrokerStartError
from edakit.brokers.processes import HOST, PAUSE, free_ports, is_free, kill, launch, lives

__all__ = ["Node", "State"]


class State(msgspec.Struct):
    """What node.json says.

    Attributes:
        ports: Each purpose with its port at 127.0.0.1.
        password: Of the user `edakit`, for brokers that ask for one.
        settings: Lines that were added to the server's configuration.
        more: Purposes of the ports that those lines use.
        pid: The server's process, 0 while it is stopped.
        since: When it was started.
    """

    ports: dict[str, int]
    password: str
    settings: dict[str, str] = {}
    more: list[str] = []
    pid: int = 0
    since: str = ""


class Node(ABC):
    """One server of this machine. `with node:` stops it at the end, and removes its folder where that is a temporary one.

    Args:
        folder: Its own; holds configuration, data, logs and the state file. Only its owner may look inside.
        settings: Lines for the server's configuration, for a folder that is new; `{tls}` in them stands for the port of that purpose.
        more: Purposes of further ports that the settings use.
        temporary: Whether the folder goes with it.
    """

    name: ClassVar[str]
    purposes: ClassVar[Sequence[str]]  # of its ports; clients connect to the first
    patience: ClassVar[float] = 90.0  # so long may a slow machine take to start it [s]
    parting: ClassVar[float] = 40.0  # so long may it take to end in good order [s]

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None, more: Sequence[str] = (), *, temporary: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.temporary = folder.resolve(), temporary
        self.state = self._read() or State({}, secrets.token_hex(16), dict(settings or {}), list(more))

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address, with user and password where it has any."""

    @abstractmethod
    def command(self) -> list[str]:
        """Write the configuration, and return the words that start the server."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the environment of the server and of its commands."""

    @classmethod
    @abstractmethod
    def find(cls) -> Path:
        """Return where the server is installed.

        Raises:
            BrokerNotFoundError: nowhere that is known.
        """

    @classmethod
    @abstractmethod
    def answers(cls, host: str, port: int) -> bool:
        """Return whether a broker of this kind serves clients there."""

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.state.ports[self.purposes[0]]

    @property
    def mark(self) -> str:
        """What each of its processes carries in its environment."""
        return str(self.folder)

    @property
    def alive(self) -> bool:
        """Whether its server runs: that process, not another one that was given the same number."""
        return bool(self.state.pid) and lives(self.state.pid, self.mark)

    def start(self) -> None:
        """Start the server where it does not run, and return when it serves clients; ports and data are those of the last time.

        Raises:
            BrokerNotFoundError: it is not installed.
            BrokerStartError: it ended again, or did not answer in time.
        """
        if not self.alive:
            self.find()
            kill(self.mark)  # what a killed server has left, so that ports and locks are free
            self._choose_ports()
            (self.folder / "output.log").write_bytes(b"")
            self._write(launch(self.command(), mark=self.mark, environment=self.environment(), folder=self.folder))
        self._await_answer()

    def _choose_ports(self) -> None:
        if not self.state.ports or not all(map(is_free, self.state.ports.values())):
            purposes = [*self.purposes, *self.state.more]
            self.state.ports = dict(zip(purposes, free_ports(len(purposes)), strict=True))

    def settings(self) -> dict[str, str]:
        """Return the lines that were added to the configuration, with the ports put in."""
        filled = dict(self.state.settings)
        for purpose, port in self.state.ports.items():
            filled = {key: value.replace(f"{{{purpose}}}", str(port)) for key, value in filled.items()}
        return filled

    def _await_answer(self) -> None:
        deadline = time.monotonic() + self.patience
        while not self.answers(HOST, self.port):
            dead = not self.alive
            if dead or time.monotonic() > deadline:
                self.kill()
                raise BrokerStartError(self.name, "ended while it started" if dead else f"did not answer within {self.patience:g} s", self.complaint())
            time.sleep(PAUSE)

    def stop(self) -> None:
        """Let the server end in good order; its data stay."""
        if self.alive:
            self.ask_to_stop()
            psutil.wait_procs(self._server(), timeout=self.parting)
        self.kill()

    def ask_to_stop(self) -> None:
        """Ask the server to end."""
        for server in self._server():
            server.terminate()

    def kill(self) -> None:
        """End the server and all that it started, at once, as a power cut would (kill -9); its data stay."""
        kill(self.mark)
        if self.state.pid:  # on macOS and Windows there is a process 0, for which nobody can wait
            with suppress(psutil.Error):  # a child of ours that had ended by itself would stay a zombie
                psutil.Process(self.state.pid).wait(timeout=0)
        self._write(0)

    def _server(self) -> list[psutil.Process]:
        return [psutil.Process(self.state.pid)] if self.alive else []

    def restart(self, *, kill: bool = False) -> None:
        """Stop it, or kill it, and start it again: same port, same data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def erase(self) -> None:
        """Stop it and remove its folder with all data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=os.name == "nt")  # Windows keeps files for a moment that were just in use

    def close(self) -> None:
        """Stop it, and remove its folder where that is a temporary one."""
        self.stop()
        if self.temporary:
            self.erase()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.name} at {HOST}:{self.port}, process {self.state.pid}>" if self.alive else f"<{self.name}, stopped>"

    def complaint(self, lines: int = 8) -> str:
        """Return the first lines that tell of an error, without stack frames: the cause comes first; else the last lines that the server wrote."""
        text = (self.folder / "output.log").read_text(encoding="utf-8", errors="replace").replace(self.state.password, "***")
        said = [line for line in text.splitlines() if line.strip() and not line.startswith("\t")]
        errors = [line for line in said if re.search("error|exception|fatal", line, flags=re.IGNORECASE)]
        return "\n".join(errors[:lines] or said[-lines:])

    def _read(self) -> State | None:
        try:
            return msgspec.json.decode((self.folder / "node.json").read_bytes(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):  # new, or torn when the disk was full: its processes are found by their mark
            return None

    def _write(self, pid: int) -> None:
        self.state.pid = pid
        self.state.since = datetime.now(UTC).isoformat(timespec="seconds") if pid else ""
        whole = self.folder / "node.json.new"
        whole.write_bytes(msgspec.json.format(msgspec.json.encode(self.state)))
        whole.chmod(0o600)  # the password is in it
        whole.replace(self.folder / "node.json")
