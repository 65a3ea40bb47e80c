"""The bench on real brokers: what it counts and how it judges. The peers themselves are installed for the bench alone."""

import pytest

from tests.bench.brokers import report
from tests.bench.brokers.event import SIZE, OrderPlaced, Tally, decode, encode, orders
from tests.bench.brokers.measure import LostError, Row, complete
from tests.bench.brokers.plan import OURS, PEERS, TARGETS, Peer, Target
from tests.bench.brokers.sides import sides

AT_LEAST = Target("publish / other", "RabbitMQ", "publish each [1/s]", ("other", "third"), 2.0)
AT_MOST = Target("latency / other", "RabbitMQ", "latency p50 [ms]", ("other",), 0.5)


def rows(measure, ours, others, peer="other"):
    pairs = enumerate(zip(ours, others, strict=True))
    return [Row("RabbitMQ", measure, name, number, value) for number, pair in pairs for name, value in zip((OURS, peer), pair, strict=True)]


def test_every_event_has_200_bytes():
    assert {len(encode(order)) for order in orders(1000)} == {SIZE}


def test_a_ratio_is_taken_within_each_round():
    values = rows("publish each [1/s]", [100, 30, 8], [50, 10, 2])

    assert report.ratios(AT_LEAST, values) == [2, 3, 4]


def test_of_several_peers_the_fastest_counts():
    values = rows("publish each [1/s]", [100], [50]) + rows("publish each [1/s]", [100], [80], peer="third")

    assert report.ratios(AT_LEAST, values) == [1.25]


@pytest.mark.parametrize(("ours", "verdict"), [([100, 110, 90], "ok"), ([90, 99, 200], "short")])
def test_a_rate_is_judged_by_the_median(ours, verdict):
    assert report._judge(AT_LEAST, rows("publish each [1/s]", ours, [50, 50, 50]))[-1] == verdict


@pytest.mark.parametrize(("ours", "verdict"), [([1.0, 0.9, 9.0], "ok"), ([1.1, 0.9, 9.0], "short")])
def test_a_latency_is_to_be_small(ours, verdict):
    assert report._judge(AT_MOST, rows("latency p50 [ms]", ours, [2, 2, 2]))[-1] == verdict


def test_a_run_that_lost_an_event_has_no_rate():
    tally = Tally(3)
    for order in orders(2):
        tally.note(decode(encode(order)))

    with pytest.raises(LostError, match="lost 1 events"):
        complete(Peer("other", "other"), tally.answer())


def test_a_delivery_that_came_twice_is_counted_once():
    tally = Tally(2)
    first, second = orders(2, OrderPlaced)

    assert [tally.note(first), tally.note(first), tally.note(second)] == [False, False, True]
    assert (tally.answer()["lost"], tally.answer()["twice"]) == (0, 1)


def test_every_target_names_peers_that_are_measured():
    unknown = [target.says for target in TARGETS if not {OURS, *target.peers} <= {peer.name for peer in PEERS[target.broker]}]

    assert unknown == []


def test_edakit_publishes_in_one_process_and_consumes_in_another(tmp_path):
    with sides(PEERS["SQLite"][:1], "sqlite", tmp_path / "log") as processes:
        publisher, consumer = processes[OURS]
        place = str(tmp_path / "shop.db")
        publisher.ask(do="declare", place=place)
        consumer.tell(do="consume", place=place, count=50)
        assert consumer.hear() == {"ready": True}

        published = publisher.ask(do="publish", place=place, count=50, guarantee="each")
        consumed = consumer.hear()

    assert (consumed["lost"], consumed["twice"]) == (0, 0)
    assert published["begun"] < consumed["first"] <= consumed["last"]
