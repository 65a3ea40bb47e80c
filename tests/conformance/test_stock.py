"""The saved table of what kombu's own transports do is what they do, and ours keep every promise in it."""

from __future__ import annotations

import csv

import pytest

from tests.conformance.stock import QUESTIONS, ROOT, TRANSPORTS, ask

with (ROOT / "data" / "conformance.csv").open(encoding="utf-8") as _file:
    SAVED = {row["question"]: row for row in csv.DictReader(_file)}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # kombu's filesystem:// leaves files open
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_the_saved_answer_is_what_the_transport_does(question, transport):
    assert ask(question, transport) == SAVED[question.__doc__.strip()][transport], "make it again with: python -m tests.conformance"


def test_ours_keep_every_promise_and_kombus_own_do_not():
    assert len(SAVED) == len(QUESTIONS)
    for transport in TRANSPORTS:
        answers = {row[transport] for row in SAVED.values()}
        assert (answers <= {"yes", "-"}) == transport.startswith("edakit"), transport
