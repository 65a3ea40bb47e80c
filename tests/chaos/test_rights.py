"""CHECKS R5 and S4 on RabbitMQ and Kafka: who may not do something is told so by that very call, and so is who sends what the broker refuses."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import pytest

from edakit import App, Bus
from edakit.errors import BrokerError, PermissionDeniedError
from tests.chaos.record import tell
from tests.conformance.helpers import added, numbers, opened, queue, raised_within, taker
from tests.shop_language import CartItemAdded, recorder


def told(use, match=None, kind=PermissionDeniedError, *, within=5):
    """Return the error that *use* raises, in time."""
    return raised_within(within, use, kind, match)


@pytest.mark.on("amqp")
def test_r5_and_s4_a_user_without_a_right_is_told_by_that_very_call_in_five_seconds(broker, nodes):
    node, name = nodes("rabbitmq"), f"v{uuid4().hex[:8]}"
    node.add_vhost(name)
    node.add_user(f"reader-{name}", "s3cret-word")
    node.allow(f"reader-{name}", vhost=name, configure="^edakit$", write="^$", read=".*")
    foreign = SimpleNamespace(body=b"", properties={}, content_type=None, content_encoding=None)
    with opened(node.url_for("edakit", node.state.password, name), node.url_for(f"reader-{name}", "s3cret-word", name)) as (owner, bus):
        owner.declare(recorder("mail")[0])
        uses = (
            lambda: bus.publish(added(1)),
            lambda: bus.publish_many(added(number) for number in range(20)),
            lambda: bus.declare(recorder("other")[0]),
            lambda: bus.link.put("mail", foreign, {}),
        )
        errors = [str(told(use)) for use in uses]
        node.allow(f"reader-{name}", vhost=name, configure="^edakit$", write=".*", read="^$")
        told(lambda: bus.subscribe("mail", 1), "queue 'mail'")
        backlog = owner.backlog("mail")

    tell(f"S4 {broker}", attempt=5, failed=len(errors) + 1)
    assert all(f"reader-{name}" in error and ("exchange" in error or "queue" in error) and "s3cret" not in error for error in errors)
    assert backlog == 0, "nothing of it was done"


@pytest.fixture
def node(nodes):
    """The Kafka on which ann may do everything, bob nothing, carl what a test allows."""
    return nodes("kafka")


@pytest.fixture
def namespace():
    return f"t{uuid4().hex[:16]}"


def as_user(node, namespace, user, password):
    return f"kafka://{user}:{password}@127.0.0.1:{node.state.ports['sasl']}?namespace={namespace}&mechanism=PLAIN"


def allow(node, user, prefix, kind, *rights):
    """Give a user rights on all topics, or all consumer groups, whose names begin with *prefix*."""
    from confluent_kafka import admin  # noqa: PLC0415 (an extra)

    client, kind = admin.AdminClient({"bootstrap.servers": f"127.0.0.1:{node.port}"}), admin.ResourceType[kind]
    prefixed, allowed = admin.ResourcePatternType.PREFIXED, admin.AclPermissionType.ALLOW
    bindings = [admin.AclBinding(kind, prefix, prefixed, f"User:{user}", "*", admin.AclOperation[right], allowed) for right in rights]
    for future in client.create_acls(bindings).values():
        future.result()


@pytest.mark.on("kafka")
def test_s4_who_may_do_nothing_is_told_so(broker, node, namespace):
    with opened(as_user(node, namespace, "ann", "full-rights")) as ann:
        queue(ann)
        ann.publish(added(1))
    error = told(lambda: Bus(as_user(node, namespace, "bob", "hardly-any")), r"user 'bob' may not .*topic t")

    assert "hardly-any" not in f"{error}{error!r}{error.args}"


@pytest.mark.on("kafka")
def test_r5_and_s4_who_may_read_only_is_told_by_each_publish_and_may_not_make_a_topic(broker, node, namespace):
    carls = as_user(node, namespace, "carl", "may-read")
    for kind in ("TOPIC", "GROUP"):
        allow(node, "carl", namespace, kind, "READ", "DESCRIBE")
    with pytest.raises(PermissionDeniedError, match=rf"user 'carl' may not create: topic {namespace}.edakit"):
        Bus(carls)

    refused = 0
    with opened(f"{node.url}?namespace={namespace}") as bus:
        queue(bus)
        with opened(carls) as carl:
            queue(carl)
            for number in range(100):
                if number % 10:
                    bus.publish(added(number))
                    continue
                told(lambda number=number: carl.publish(added(number)), "user 'carl' may not write to: topic")
                refused += 1
            with taker(carl) as taking:
                assert numbers(taking.take_all(90)) == [number for number in range(100) if number % 10]

    tell(f"S4 {broker}", attempt=100, confirmed=90, failed=refused, silent=10 - refused)
    assert refused == 10


@pytest.mark.on("kafka")
def test_s4_who_may_not_join_the_group_is_told_by_who_waits(broker, node, namespace):
    with opened(f"{node.url}?namespace={namespace}") as bus:
        queue(bus)
        bus.publish(added(1))
    allow(node, "carl", namespace, "TOPIC", "READ", "DESCRIBE")
    allow(node, "carl", namespace, "GROUP", "DESCRIBE")
    app = App(recorder("mail")[0], broker=as_user(node, namespace, "carl", "may-read"))

    with pytest.raises(PermissionDeniedError, match=r"user 'carl' may not consume.*: consumer group"):
        app.run_until_idle()
    app.close()


@pytest.mark.on("kafka")
def test_s4_a_wrong_password_is_told_soon_and_not_shown(broker, node, namespace):
    wrong = as_user(node, namespace, "ann", "wrong-password")
    error = told(lambda: Bus(wrong), "refuses the user 'ann'", BrokerError, within=15)

    assert "wrong-password" not in f"{error}{error!r}{App(broker=wrong)!r}"


@pytest.mark.on("kafka")
def test_r5_what_the_broker_refuses_is_raised_by_that_very_call_and_shifts_no_other(broker, url):
    mail, seen = recorder("mail")
    app, failed = App(mail, broker=url, max_body=10_000_000), []
    for number in range(200):
        try:
            app.publish(CartItemAdded(cart_id=str(number), product_id="x" * (1 if number % 10 else 2_000_000)))
        except BrokerError as error:
            failed.append((number, "larger than it takes" in str(error)))
    app.run_until_idle()
    app.close()

    tell(f"R5 {broker}, refused by the broker", attempt=200, failed=len(failed), silent=20 - len(failed))
    assert failed == [(number, True) for number in range(0, 200, 10)]
    assert sorted(int(event.cart_id) for event in seen) == [number for number in range(200) if number % 10]
