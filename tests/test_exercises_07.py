from __future__ import annotations

import random

import numpy as np
import pytest

from edakit.classroom.checks import ch07
from edakit.classroom.checks.ch07 import SITUATIONS, check_07_1, check_07_2, check_07_3
from edakit.measuring import consumer_of, partition_of
from edakit.shop import AddItem, CartItemAdded, CartItemRemoved, CheckoutStarted
from edakit.shop.cart import Carts


@pytest.mark.parametrize(
    "answer",
    [
        lambda key, partitions, consumers: partition_of(key, partitions) % consumers,
        lambda key, partitions, consumers: consumer_of(partition_of(key, partitions), partitions, consumers),
        lambda key, partitions, consumers: consumers - 1 - partition_of(key, partitions) % consumers,
        lambda key, partitions, consumers: np.int64(partition_of(key, partitions) % consumers),
    ],
    ids=["dealt like cards", "in blocks", "from the last on", "in numpy's numbers"],
)
def test_07_1_any_fair_way_of_dealing_partitions_out_passes(answer):
    assert check_07_1(answer).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda key, partitions, consumers: partition_of(key, consumers), "a partition belongs to one consumer of a group"),
        (lambda key, partitions, consumers: random.Random(key).randrange(consumers), "a partition belongs to one consumer of a group"),
        (lambda key, partitions, consumers: partition_of(key, partitions), "the number of the partition is taken for that of the consumer"),
        (lambda key, partitions, consumers: partition_of(key, partitions) % consumers + 1, "counting begins at 1"),
        (lambda key, partitions, consumers: min(partition_of(key, partitions), consumers - 1), "all partitions that are left over go to one consumer"),
        (lambda key, partitions, consumers: 0, "some consumers are left out"),
        (lambda key, partitions, consumers: "consumer 1", "a whole number from 0 to 2"),
        (lambda key, partitions, consumers: float(partition_of(key, partitions) % consumers), "a division gives a fraction"),
    ],
)
def test_07_1_a_wrong_answer_is_told_why(answer, said):
    verdict = check_07_1(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_07_1_a_stub_is_told_what_is_missing():
    assert repr(check_07_1(lambda key, partitions, consumers: ...)).startswith("nothing here yet")


def carts_until(bus, last, *types):
    types = types or (CartItemAdded, CartItemRemoved, CheckoutStarted)
    return Carts.replay(event for offset, event, _ in bus.replay(0, *types) if offset <= last).lines


def commands_counted(bus, last):
    carts = {}
    for offset, command, _ in bus.replay(0, AddItem):
        if offset <= last:
            carts.setdefault(command.cart_id, {})[command.product_id] = command.quantity
    return carts


def from_last_on(bus, last):
    return Carts.replay(each.event for each in bus.replay(last, CartItemAdded, CartItemRemoved, CheckoutStarted)).lines


def test_07_2_the_carts_up_to_an_offset_pass_with_or_without_those_that_are_empty():
    assert check_07_2(carts_until).passed
    assert check_07_2(lambda bus, last: {cart: lines for cart, lines in carts_until(bus, last).items() if lines}).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda bus, last: carts_until(bus, 10**9), "These are the carts at the end of the log"),
        (lambda bus, last: carts_until(bus, last - 1), "the event at the last offset is left out"),
        (from_last_on, "begin at 0, where the log begins"),
        (lambda bus, last: carts_until(bus, last, CartItemAdded), "only what was put in is counted"),
        (lambda bus, last: carts_until(bus, last, CartItemAdded, CartItemRemoved), "a check-out is passed over"),
        (commands_counted, "Only CartItemAdded has happened"),
        (lambda bus, last: {"c-1": {"1001": 99}}, "in another order than the log's"),
        (lambda bus, last: [1], "a dictionary"),
    ],
)
def test_07_2_a_wrong_answer_is_told_why(answer, said):
    verdict = check_07_2(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


@pytest.mark.parametrize("stub", [lambda bus, last: {}, lambda bus, last: ...])
def test_07_2_a_stub_is_told_what_is_missing(stub):
    assert repr(check_07_2(stub)).startswith("nothing here yet")


def test_07_2_some_cart_is_full_at_each_offset_that_is_asked_for_so_that_nothing_is_never_the_answer():
    seen = []

    check_07_2(lambda bus, last: seen.append(carts_until(bus, last)) or seen[-1])

    assert len(seen) == 11
    assert all(any(carts.values()) for carts in seen)


BECAUSE = "The tests need virtual time. The packers share one by one across computers. The report reads the past."
RIGHT = dict(zip(SITUATIONS, ("memory", "RabbitMQ", "Kafka"), strict=True))


def test_07_3_what_the_table_allows_passes():
    assert check_07_3(RIGHT, BECAUSE).passed


@pytest.mark.parametrize(
    ("place", "broker", "said"),
    [
        (0, "Kafka", "kafka:// lives in real time"),
        (0, "sqlite", "sqlite:// lives in real time"),
        (1, "Kafka", "Kafka is no faster RabbitMQ: it deals out partitions. With 3 of them 5 of 8 packers stand idle"),
        (1, "sqlite", "a file on one computer"),
        (1, "memory", "lives in one process"),
        (2, "RabbitMQ", "amqp:// forgets an event when it is acked"),
        (2, "sqlite", "a file on one computer"),
        (2, "rabbit", "one of memory, sqlite, RabbitMQ, Kafka"),
    ],
)
def test_07_3_a_wrong_choice_is_told_why(place, broker, said):
    verdict = check_07_3({**RIGHT, SITUATIONS[place]: broker}, BECAUSE)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


def test_07_3_each_situation_has_one_broker_so_that_the_table_decides():
    fitting = [[broker for broker in ch07._SCHEMES if not ch07._why_not(broker, ch07._NEEDS[situation])] for situation in SITUATIONS]

    assert fitting == [["memory"], ["RabbitMQ"], ["Kafka"]]


@pytest.mark.parametrize(
    ("choice", "because", "said"),
    [
        ({"another": "memory"}, BECAUSE, "one broker for each text of SITUATIONS"),
        (dict(enumerate(RIGHT.values())), BECAUSE, "its text, not its number"),
        (list(RIGHT.values()), BECAUSE, "Expected: a dictionary."),
        (RIGHT, "They fit.", "Seen: 1 sentence."),
        (RIGHT, "They fit\nThey share\nThey keep", "A sentence ends with a full stop."),
    ],
)
def test_07_3_an_answer_of_another_form_is_told_so(choice, because, said):
    assert said in repr(check_07_3(choice, because))


def test_07_3_reasons_in_chinese_are_counted_too():
    assert check_07_3(RIGHT, "测试需要虚拟时间。打包员要分担订单。报告要读过去的事件。").passed


def test_07_3_a_stub_is_told_what_is_missing():
    assert repr(check_07_3(..., ...)).startswith("nothing here yet")
    assert repr(check_07_3(dict.fromkeys(SITUATIONS, ...), BECAUSE)).startswith("nothing here yet")


def test_the_points_of_the_chapter_add_up_to_ten():
    assert sum(check.exercise.points for check in (check_07_1, check_07_2, check_07_3)) == 10
