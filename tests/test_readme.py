"""README.md is true: its example prints what it says, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edakit import App, Component
from edakit.brokers import start
from edakit.cli import COMMANDS
from edakit.errors import BrokerError
from tests.real_brokers import require_installed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE-texts.md"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_each_example_prints_what_stands_under_it(capsys):
    names = {"__name__": "readme"}
    for example, expected in zip(blocks("python"), blocks("text"), strict=True):
        exec(compile(example, "README.md", "exec"), names)  # noqa: S102 (the README's own examples)

        assert capsys.readouterr().out == expected


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    code = re.findall(r"`([^`\n]+)`", (ROOT / document).read_text(encoding="utf-8")) + "".join(blocks("sh")).splitlines()

    named = {word for words in code for word in re.findall(r"^make ([a-z]+)", words)}

    assert named <= set(targets)


def test_every_command_of_edakit_that_is_named_exists():
    code = [*re.findall(r"`([^`\n]+)`", README), *"".join(blocks("sh") + blocks("bat")).splitlines()]

    named = {word for words in code for word in re.findall(r"(?:^|[/ ])edakit ([a-z]+)", words)}

    assert {"doctor", "lab", "playback"} <= named <= COMMANDS.keys()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_to_a_file(document):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / document).read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_what_windows_users_type_is_what_the_workflow_runs():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")

    typed = "".join(blocks("bat")).splitlines()

    assert [line for line in typed if not line.endswith("edakit lab") and f"- run: {line}\n" not in workflow] == []


def test_a_class_shares_a_broker_as_it_is_told_to_and_all_of_it_goes_with_its_virtual_host():
    require_installed("rabbitmq")
    typed = [line.partition("#")[0] for line in "".join(blocks("sh")).splitlines()]
    *prepare, look, remove = [shlex.split(line)[1:] for line in typed if line.startswith("rabbitmqctl ")]
    [address] = [shlex.split(line)[1].partition("=")[2] for line in typed if line.startswith("export EDAKIT_RABBITMQ=")]
    with start("rabbitmq") as node:
        for words in prepare:
            node.control(*words, typed="password\n")
        anna = address.replace("broker.example", urlsplit(node.url).netloc.rpartition("@")[2])

        for student in ("anna", "bob"):
            mail = Component("mail")
            with App(mail, broker=anna.replace("anna", student)):
                pass

        queues = {line.split()[0] for line in node.control(*look).splitlines()[1:]}
        assert queues == {"anna.mail", "anna.mail.dead", "bob.mail", "bob.mail.dead"}
        node.control(*remove)
        with pytest.raises(BrokerError, match="no virtual host 'class'"):
            App(Component("mail"), broker=anna).start()
