"""The saved table of what kombu's own transports do is what they do, and ours keep every promise in it."""

from __future__ import annotations

import csv
import subprocess
import sys

import kombu
import pytest

from edakit.capabilities import BROKERS
from tests.conformance.stock import NEEDS, QUESTIONS, ROOT, TRANSPORTS, ack_multiple, ask, bound_holds, mandatory_raises, missing_exchange_raises

with (ROOT / "data" / "conformance.csv").open(encoding="utf-8") as _file:
    SAVED = {row["question"]: row for row in csv.DictReader(_file)}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_the_saved_answer_is_what_the_transport_does(question, transport, request):
    saved = SAVED[question.__doc__.strip()][transport]
    addresses = {name: request.getfixturevalue(name) for name in (NEEDS.get(transport),) if name}
    for _ in range(2):  # another answer is asked for once more: on a busy machine what comes may come too late
        answer = asked_apart(question, transport) if transport == "kombu filesystem://" else ask(question, transport, addresses)
        if answer == saved:
            break

    assert answer == saved, "make it again with: python -m tests.conformance"


def asked_apart(question, transport):
    """Ask in a process of its own: kombu's filesystem:// leaves locked files behind, and may then wait for itself for ever."""
    code = f"from tests.conformance.stock import ask, {question.__name__}; print(ask({question.__name__}, {transport!r}, {{}}))"
    for _ in range(3):
        try:
            return subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=40, check=True).stdout.strip()
        except subprocess.TimeoutExpired:
            continue
    return "waits for ever"


@pytest.mark.parametrize("question", [mandatory_raises, missing_exchange_raises], ids=lambda question: question.__name__)
def test_kombu_tells_of_a_message_that_reaches_nobody_where_it_waits_for_confirms(question, rabbitmq):
    assert question(lambda: kombu.Connection(rabbitmq, transport_options={"confirm_publish": True}))


def test_ours_keep_every_promise_or_refuse_it_and_kombus_own_do_not():
    assert len(SAVED) == len(QUESTIONS)
    for transport in TRANSPORTS:
        answers = {row[transport] for row in SAVED.values()}
        assert (answers <= {"yes", "-", "refused"}) == transport.startswith("edakit"), transport


def test_what_is_refused_is_what_the_table_of_capabilities_says_kafka_cannot_do():
    refused = {(question, transport) for question, row in SAVED.items() for transport, answer in row.items() if answer == "refused"}

    assert refused == {(question.__doc__.strip(), "edakit kafka://") for question in (bound_holds, ack_multiple)}
    assert not BROKERS["kafka"].bounds
