"""One stall, seen by three kinds of test."""

from __future__ import annotations

import numpy as np
import pytest

from edakit.errors import InvalidValueError
from edakit.measuring import LOAD_MODELS, Each, Steady, load_test, measure, since_published
from tests.one_stall import press, shop

WAITS, PUBLISHED, DUE = LOAD_MODELS
SHORT = {"duration": 6.0, "start": 2.0}


def ask(model, **options):
    return load_test(shop, press, "cart", model=model, **{**SHORT, **options})


def slow(test):
    return int(np.sum(test.latency > 0.1))


@pytest.mark.parametrize("seed", range(5))
def test_only_who_counts_from_when_a_request_was_due_sees_the_stall_whatever_the_seed(seed):
    waits, published, due = (ask(model, seed=seed) for model in LOAD_MODELS)

    assert slow(waits) == 1
    assert slow(published) == 10
    assert 95 <= slow(due) <= 110
    assert waits.percentile(99) < published.percentile(98) < 0.02
    assert due.percentile(99) > 0.8


def test_a_tester_who_waits_sends_nothing_while_the_shop_stands_still():
    waits = ask(WAITS)

    asked = waits.due_at[(waits.due_at >= 2.0) & (waits.due_at < 3.0)]
    assert asked.tolist() == [2.0]
    assert waits.latency.size == 600 - 99


def test_who_is_on_time_sends_everything_also_when_it_is_held_up():
    assert ask(DUE).latency.size == ask(PUBLISHED).latency.size == 600


def test_without_a_stall_nothing_is_slow_and_all_three_agree():
    medians = [test.percentile(50) for model in LOAD_MODELS for test in [ask(model, stall=0)] if slow(test) == 0]

    assert len(medians) == 3
    assert max(medians) - min(medians) < 0.0001


def test_a_longer_stall_makes_the_slowest_slower_and_leaves_the_tester_with_one():
    assert slow(ask(WAITS, stall=2.0)) == 1
    assert ask(WAITS, stall=2.0).latency.max() == pytest.approx(2.0, abs=0.003)
    assert slow(ask(DUE, stall=2.0)) > 1.9 * slow(ask(DUE))


def test_counted_from_publication_latency_is_waiting_and_service():
    app = shop(cart_bound=10, cart_when_full="wait")
    run = measure(app, Each(Steady(100, 2.0), press), clock="virtual", at={0.5: lambda app: app.pause("cart"), 1.0: lambda app: app.resume("cart")})
    cart = run.component("cart")

    seen = since_published(cart)

    assert np.allclose(seen.latency, cart.waiting + cart.service, atol=1e-12)
    assert np.all(seen.latency <= cart.latency)
    assert np.sum(seen.latency < cart.latency) > 30
    assert cart.percentile(99) > 0.4  # the given one is as it was


def test_an_unknown_model_is_named_with_those_that_are_known():
    with pytest.raises(InvalidValueError, match="waits for each answer"):
        ask("guesses")


@pytest.mark.parametrize("model", LOAD_MODELS)
@pytest.mark.parametrize("rate", [0, -5])
def test_a_rate_that_makes_no_sense_is_refused_by_all_three(model, rate):
    with pytest.raises(InvalidValueError, match="rate is"):
        ask(model, rate=rate)
