# ruff: noqa: SIM105
# Students catch what they should not.

from __future__ import annotations

import math

import pytest

from edakit import Component
from edakit.classroom.checks.ch03 import CASES, check_03_1, check_03_2, check_03_3
from edakit.shop import OrderPlaced


def work(queue, pack):
    while (message := queue.get()) is not None:
        pack(message.number)
        message.ack()


def acks_first(queue, pack):
    while (message := queue.get()) is not None:
        message.ack()
        pack(message.number)


def never_acks(queue, pack):
    while (message := queue.get()) is not None:
        pack(message.number)


def acks_whatever_happens(queue, pack):
    while (message := queue.get()) is not None:
        try:
            pack(message.number)
        finally:
            message.ack()


def survives_a_kill(queue, pack):
    while (message := queue.get()) is not None:
        try:
            pack(message.number)
        except BaseException:  # noqa: BLE001, S110 (a wrong answer)
            pass
        message.ack()


def acks_at_the_end_of_the_shift(queue, pack):
    packed = []
    while (message := queue.get()) is not None:
        pack(message.number)
        packed.append(message)
    for message in packed:
        message.ack()


def packs_messages(queue, pack):
    while (message := queue.get()) is not None:
        pack(message)
        message.ack()


def only_acks(queue, pack):
    while (message := queue.get()) is not None:
        message.ack()


def goes_home_after_one(queue, pack):
    while (message := queue.get()) is not None:
        pack(message.number)
        message.ack()
        break


def stub(queue, pack):
    while queue.get() is not None:
        ...


def test_03_1_the_ack_after_the_work_passes():
    assert check_03_1(work).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (acks_first, "You acked when you received, and the broker forgot it. The ack says that the work is done."),
        (never_acks, "Without an ack the broker keeps a message for the next worker, who packs it again."),
        (acks_whatever_happens, "It was acked although pack did not return"),
        (survives_a_kill, "It was acked although pack did not return"),
        (packs_messages, "Seen: pack was given a message. Expected: the number of an order."),
        (goes_home_after_one, "The worker left its loop"),
        (acks_at_the_end_of_the_shift, "This happens when acks wait for the end of the shift"),
    ],
)
def test_03_1_a_wrong_answer_is_told_why(answer, said):
    verdict = check_03_1(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_03_1_it_says_which_order_is_gone_and_when_the_worker_was_killed():
    said = "Seen: killed in call 3 of pack, before the parcel was packed, and order 3 is neither packed nor in the queue. Expected: each order packed."

    assert said in repr(check_03_1(acks_first))


@pytest.mark.parametrize("answer", [stub, only_acks])
def test_03_1_a_stub_is_told_what_is_missing(answer):
    assert "nothing here yet" in repr(check_03_1(answer))


def prefetch_for(takes, round_trip):
    return 1 + math.ceil(round_trip / takes)


def test_03_2_the_smallest_that_keeps_a_worker_busy_passes():
    assert check_03_2(prefetch_for).passed
    assert [prefetch_for(*case) for case in CASES] == [1, 2, 4, 24, 2]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda takes, round_trip: 1, "the worker is busy for 50 % of the time. Expected: 100 %. It waits for the broker. Each ack has to reach the broker"),
        (lambda takes, round_trip: max(2, math.ceil(round_trip / takes)), "Seen: 2 from prefetch_for(0.05, 0); when that worker is killed"),
        (lambda takes, round_trip: 1 + int(round_trip / takes), "A part of an order is left of the round trip, and needs a whole message."),
        (lambda takes, round_trip: 2 if round_trip else 1, "The order in the worker's hands counts as well."),
        (lambda takes, round_trip: 100, "More than that makes the worker no faster. It takes orders away from others, and holds them when it dies."),
        (lambda takes, round_trip: 1 + round_trip / takes, "Messages are not divided."),
        (lambda takes, round_trip: 0, "Expected: a whole number of 1 or more. The order in the worker's hands counts as well."),
        (lambda takes, round_trip: True, "a whole number of 1 or more"),
    ],
)
def test_03_2_a_wrong_answer_is_told_why(answer, said):
    verdict = check_03_2(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_03_2_a_stub_is_told_what_is_missing():
    assert "prefetch_for(0.05, 0) gives nothing back yet" in repr(check_03_2(lambda takes, round_trip: None))


def answer(decide, **options):
    """Return a build_payment whose handler charges when *decide(bank, event, own)* says so; *own* is a set that each process has."""

    def build_payment(bank):
        payment, own = Component("payment", **options), set()

        @payment.on(OrderPlaced)
        def charge(event, context):
            if decide(bank, event, own):
                bank.charge(event.order_id, event.total)
            own.add(event.order_id)

        return payment

    return build_payment


def the_bank_does_not_know_it(bank, event, own):
    return not bank.knows(event.order_id)


def half_of_it(bank):
    payment = Component("payment")

    @payment.on(OrderPlaced)
    def charge(event, context):
        if not bank.knows(event.order_id):
            bank.charge(event.order_id, event.total // 2)

    return payment


EVERYWHERE = set()


def nobody_ever_charged_it(bank, event, own):
    known = event.order_id in EVERYWHERE
    EVERYWHERE.add(event.order_id)
    return not known


def test_03_3_a_handler_that_asks_the_bank_passes():
    verdict = check_03_3(answer(the_bank_does_not_know_it))

    assert verdict.passed
    assert "Killed 16 times, at received, started, handled, acked of each order" in repr(verdict)


@pytest.mark.parametrize(
    ("build_payment", "said"),
    [
        (answer(lambda bank, event, own: True), "At least once means that your handler meets an order again."),
        (answer(the_bank_does_not_know_it, ack="before"), "killed at the point started of delivery 1, o-1 was never charged"),
        (answer(the_bank_does_not_know_it, ack="before"), "The broker was told to forget it before the work was done: at most once."),
        (answer(lambda bank, event, own: event.order_id not in own), "What you remembered died with the process. The bank outlives it."),
        (answer(nobody_ever_charged_it), "outside of build_payment"),
        (answer(lambda bank, event, own: False), "o-1 was never charged"),
        (answer(lambda bank, event, own: event.total not in {total for _, total in bank.booked}), "o-3 was never charged"),
        (half_of_it, "625 pence for o-1"),
        (lambda bank: Component("payments"), 'Expected: Component("payment")'),
        (lambda bank: Component("payment"), "@payment.on(OrderPlaced)"),
    ],
)
def test_03_3_a_wrong_answer_is_told_why(build_payment, said):
    verdict = check_03_3(build_payment)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_03_3_a_stub_is_told_what_is_missing():
    assert "build_payment(bank) gives nothing back yet" in repr(check_03_3(lambda bank: None))


def test_the_points_of_the_chapter_add_up_to_ten():
    assert sum(check.exercise.points for check in (check_03_1, check_03_2, check_03_3)) == 10
