"""The saved table of what kombu's own transports do is what they do, and ours keep every promise in it."""

from __future__ import annotations

import csv
import subprocess
import sys

import kombu
import pytest

from tests.conformance.stock import QUESTIONS, ROOT, TRANSPORTS, ask, mandatory_raises, missing_exchange_raises

with (ROOT / "data" / "conformance.csv").open(encoding="utf-8") as _file:
    SAVED = {row["question"]: row for row in csv.DictReader(_file)}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_the_saved_answer_is_what_the_transport_does(question, transport, request):
    if transport == "kombu filesystem://":
        answer = asked_apart(question, transport)
    else:
        answer = ask(question, transport, request.getfixturevalue("rabbitmq") if "amqp" in transport else "")

    assert answer == SAVED[question.__doc__.strip()][transport], "make it again with: python -m tests.conformance"


def asked_apart(question, transport):
    """Ask in a process of its own: kombu's filesystem:// leaves locked files behind, and may then wait for itself for ever."""
    code = f"from tests.conformance.stock import ask, {question.__name__}; print(ask({question.__name__}, {transport!r}))"
    for _ in range(3):
        try:
            return subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
        except subprocess.TimeoutExpired:
            continue
    return "waits for ever"


@pytest.mark.parametrize("question", [mandatory_raises, missing_exchange_raises], ids=lambda question: question.__name__)
def test_kombu_tells_of_a_message_that_reaches_nobody_where_it_waits_for_confirms(question, rabbitmq):
    assert question(lambda: kombu.Connection(rabbitmq, transport_options={"confirm_publish": True}))


def test_ours_keep_every_promise_and_kombus_own_do_not():
    assert len(SAVED) == len(QUESTIONS)
    for transport in TRANSPORTS:
        answers = {row[transport] for row in SAVED.values()}
        assert (answers <= {"yes", "-"}) == transport.startswith("edakit"), transport
