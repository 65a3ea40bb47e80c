"""What a Kafka consumer knows without Kafka: what is done, what of it may be committed, what the answers say, and what it has at hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import MessageStateError

from edakit.transports.kafka_held import HELD, HELD_BYTES, Held
from edakit.transports.kafka_marks import Mark
from edakit.transports.kafka_progress import ANSWERED, COMMIT_EVERY, Progress

HERE, THERE = ("log", 0), ("log", 1)

# What is done, and what of it may be committed.


def test_the_low_water_mark_is_contiguous_however_handlers_finish():
    mark = Mark()
    assert (mark.low, mark.news) == (-1, None)
    for offset in (3, 4, 6, 7):
        mark.fetch(offset)
    mark.done(4)
    mark.done(7)
    assert (mark.low, mark.unacked, mark.span) == (3, 2, 4)
    mark.done(3)
    assert (mark.low, mark.unacked, mark.span) == (6, 1, 2), "what was skipped is no gap"
    mark.done(6)
    assert (mark.low, mark.unacked, mark.span) == (8, 0, 0)


def test_what_is_passed_over_moves_the_mark_and_never_past_what_is_not_done():
    mark = Mark()
    mark.skip(10)
    assert mark.low == 10
    mark.fetch(10)
    mark.skip(12)
    assert (mark.next, mark.low) == (12, 10)
    mark.done(10)
    assert mark.low == 12


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_no_offset_is_committed_before_all_below_it_are_done(order, skipped):
    mark, done = Mark(), set(skipped)
    for offset in range(12):
        mark.skip(offset + 1) if offset in skipped else mark.fetch(offset)
    for offset in order:
        if offset not in skipped:
            mark.done(offset)
            done.add(offset)
        assert mark.low == min(set(range(13)) - done)


# What was committed, and what the answers say.


def progress(*places, fetched=10):
    """Return the progress of who has fetched ten records of each of these partitions."""
    found = Progress()
    for place in places:
        mark = found.marks[place] = Mark()
        for offset in range(fetched):
            mark.fetch(offset)
    return found


def handle(progress, place, offsets):
    for offset in offsets:
        progress.marks[place].done(offset)
        progress.marks[place].seen = offset + 1


def test_what_was_committed_is_not_committed_again():
    known = progress(HERE, THERE)
    handle(known, HERE, range(4))

    assert known.send(0.0, known.marks) == {HERE: (4, 4), THERE: (0, -1)}
    known.answered({HERE: (4, 4), THERE: (0, -1)})
    assert known.send(1.0, known.marks) == {}
    assert not known.behind
    handle(known, THERE, range(2))
    assert known.behind
    assert known.send(2.0, known.marks) == {THERE: (2, 2)}


def test_an_answer_that_comes_after_a_later_one_has_set_the_offset_back_and_is_set_right():
    known = progress(HERE)
    handle(known, HERE, range(4))
    first = known.send(0.0, known.marks)
    handle(known, HERE, range(4, 8))
    second = known.send(ANSWERED, known.marks)
    known.answered(second)
    assert not known.send(ANSWERED + 1, known.marks)

    known.answered(first)
    assert known.behind
    assert known.send(ANSWERED + 2, known.marks) == second == {HERE: (8, 8)}


def test_after_a_commit_that_failed_nothing_is_known():
    known = progress(HERE)
    handle(known, HERE, range(4))
    known.answered(known.send(0.0, known.marks))
    known.failed()

    assert known.send(1.0, known.marks) == {HERE: (4, 4)}


def test_one_commit_is_under_way_at_a_time_until_its_answer_is_overdue():
    known = progress(HERE)
    handle(known, HERE, range(1))
    assert known.due(0.0, idle=True)
    sent = known.send(0.0, known.marks)
    assert not known.due(ANSWERED / 2, idle=True)
    assert known.due(ANSWERED, idle=False)

    known.answered(sent)
    assert known.due(0.001, idle=True)
    assert not known.due(COMMIT_EVERY / 2, idle=False)
    assert known.due(COMMIT_EVERY * 2, idle=False)
    known.failed()
    assert not known.due(0.001, idle=True), "a cluster that refuses is not asked without a pause"


def test_an_answer_about_a_partition_that_has_gone_is_of_no_interest():
    known = progress(HERE)
    known.answered({THERE: (3, 3)})

    assert known.marks.keys() == {HERE}
    assert known.marks[HERE].committed == (-1, -1)


@given(st.lists(st.sampled_from(["handle", "send", "answer", "late", "fail"]), max_size=60))
def test_whatever_the_answers_and_their_order_the_group_ends_where_all_is_done(steps):
    known, group, under_way, handled = progress(HERE, fetched=60), (-1, -1), [], 0
    for step in steps:
        if step == "handle" and handled < 60:
            handle(known, HERE, [handled])
            handled += 1
        elif step == "send" and (news := known.send(0.0, known.marks)):
            under_way.append(news)
        elif step in {"answer", "late"} and under_way:
            done = under_way.pop(0 if step == "answer" else -1)
            group = done[HERE]
            known.answered(done)
        elif step == "fail" and under_way:
            group = under_way.pop()[HERE]  # it was done, and the answer was lost
            known.failed()
    for done in under_way:
        group = done[HERE]
        known.answered(done)
    if news := known.send(0.0, known.marks):
        group = news[HERE]

    assert group == (handled, handled or -1)


# What is at hand.


def message(offset=0, place=HERE, size=1):
    """Return a message as far as it matters here."""

    class Lying(SimpleNamespace):
        __hash__ = object.__hash__

    return Lying(place=place, offset=offset, body=b"x" * size)


def test_messages_come_in_their_order_and_those_that_are_due_before_them():
    held = Held()
    held.add([message(0), message(1)])
    held.delay(message(8), 200)
    held.delay(message(7), 100)

    assert held.next_due_ns == 100
    assert [held.take(150).offset for _ in range(3)] == [7, 0, 1]
    assert held.take(150) is None
    assert held.take(200).offset == 8
    assert (len(held), held.next_due_ns, len(held.taken)) == (0, None, 4)


def test_a_message_can_be_released_once_and_not_when_its_partition_has_gone():
    held = Held()
    held.add([message(0), message(1), message(2, THERE)])
    first, second, third = (held.take(0) for _ in range(3))
    held.release(first)
    assert held.worked_on([HERE])
    held.drop([HERE])

    assert not held.worked_on([HERE])
    assert second._state == "REQUEUED"
    for gone in (first, second):
        with pytest.raises(MessageStateError, match="not this consumer's any more"):
            held.release(gone)
    held.release(third)


def test_what_waits_of_a_partition_that_goes_is_dropped_and_what_is_worked_on_is_not():
    held = Held()
    held.add([message(0), message(1, THERE), message(1)])
    taken = held.take(0)
    held.delay(message(5), 0)
    held.drop_waiting([HERE])

    assert held.taken.keys() == {taken}
    assert held.take(0).place == THERE
    assert held.take(0) is None


@pytest.mark.parametrize(("count", "size"), [(HELD, 1), (8, HELD_BYTES // 8)])
def test_it_is_full_at_a_bound_and_until_half_of_that_is_handed_out(count, size):
    held = Held()
    held.add([message(number, size=size) for number in range(count - 1)])
    assert not held.full(before=False)
    held.add([message(count, size=size)])
    assert held.full(before=False)
    for _ in range(count // 2):
        assert held.full(before=True)
        held.take(0)
    assert held.full(before=True), "at half of it"
    held.take(0)
    assert not held.full(before=True)
