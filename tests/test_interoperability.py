"""CloudEvents on the wire: what edakit publishes is read by the `cloudevents` package from clients that know nothing of edakit, and the other way round."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import confluent_kafka
import pika
import pytest
from cloudevents.core.bindings import amqp as amqp_binding
from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.bindings import rabbitmq as rabbitmq_binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from edakit import App, Component
from edakit.transports.address import parse_url
from edakit.transports.link import EXCHANGE
from edakit.transports.rabbitmq_headers import known_headers
from tests.conformance.helpers import until
from tests.shop_language import CartItemAdded

EVENT = CartItemAdded(cart_id="c-é", product_id="1001", quantity=2)
DATA = {"cart_id": "c-é", "product_id": "1001", "quantity": 2}


@pytest.fixture
def namespace():
    """A namespace that nobody else uses."""
    return f"t{uuid4().hex[:16]}"


@pytest.fixture
def channel(rabbitmq):
    """A channel of pika on the test's RabbitMQ."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection, connection.channel() as opened:
        yield opened


def a_cloud_event(**attributes):
    """Return a CloudEvent as another program would make it; id and time are the package's own."""
    return CloudEvent({"type": "cart.item.added", "source": "/tills/7", "partitionkey": "c-é", "datacontenttype": "application/json", **attributes}, DATA)


def handled_by_a_component(url, publish):
    """Publish with *publish* to a component on *url*; return the event and the attributes that its handler saw."""
    stock, seen = Component("stock"), []

    @stock.on(CartItemAdded)
    def reserve(event, context):
        seen.append((event, context.source, context.id, context.time, context.partition_key))

    with App(stock, broker=url) as app:
        publish()
        until(lambda: seen or app.dead_letters("stock"))
        assert app.dead_letters("stock") == []
    return seen


def assert_it_is_ours(event, receipt):
    """The package's view of what edakit published."""
    attributes = event.get_attributes()

    assert event.get_data() == DATA
    assert (event.get_type(), event.get_source(), event.get_id(), event.get_specversion()) == ("cart.item.added", "app", receipt.id, "1.0")
    assert event.get_datacontenttype() == "application/json"
    assert abs(event.get_time() - datetime.now(UTC)).total_seconds() < 600
    assert attributes["correlationid"] == receipt.id
    assert attributes["partitionkey"] == event.get_subject() == "c-é"


def test_pika_and_cloudevents_read_what_edakit_publishes(rabbitmq, channel, namespace):
    queue = channel.queue_declare("", exclusive=True).method.queue

    with App(broker=f"{rabbitmq}?namespace={namespace}") as app:
        assert not app.bus.closed  # opened when first used: the exchange is there
        channel.queue_bind(queue, f"{namespace}.{EXCHANGE}", "cart.#")
        receipt = app.publish(EVENT, key="c-é")

    _, properties, body = channel.basic_get(queue, auto_ack=True)
    message = amqp_binding.AMQPMessage({"content-type": properties.content_type}, properties.headers, body)

    assert_it_is_ours(amqp_binding.from_amqp(message, JSONFormat()), receipt)
    assert properties.delivery_mode == pika.DeliveryMode.Persistent.value


def as_amqp(event):
    """Return headers, content type and body by the AMQP binding: `time` is a number of milliseconds."""
    message = amqp_binding.to_binary(event, JSONFormat())
    return message.application_properties, message.properties["content-type"], message.application_data


def as_amqp_with_colons(event):
    """Return the same with the binding's other prefix."""
    headers, content_type, body = as_amqp(event)
    return {name.replace("cloudEvents_", "cloudEvents:"): value for name, value in headers.items()}, content_type, body


def as_rabbitmq(event):
    """Return headers, content type and body by the RabbitMQ binding."""
    message = rabbitmq_binding.to_binary(event, JSONFormat())
    return message.headers, message.content_type, message.body


@pytest.mark.parametrize("written", [as_amqp, as_amqp_with_colons, as_rabbitmq])
def test_a_component_handles_what_cloudevents_and_pika_publish(rabbitmq, channel, namespace, written):
    event = a_cloud_event(time=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC))
    headers, content_type, body = written(event)

    def publish():
        channel.basic_publish(f"{namespace}.{EXCHANGE}", "cart.item.added", body, pika.BasicProperties(content_type=content_type, headers=headers))

    (handled,) = handled_by_a_component(f"{rabbitmq}?namespace={namespace}", publish)

    assert handled[:3] == (EVENT, "/tills/7", event.get_id())
    assert datetime.fromisoformat(handled[3]) == event.get_time()
    assert handled[4] == "c-é"


def test_confluent_kafka_and_cloudevents_read_what_edakit_publishes(kafka, namespace):
    with App(broker=f"{kafka}?namespace={namespace}") as app:
        receipt = app.publish(EVENT, key="c-é")

    consumer = confluent_kafka.Consumer({"bootstrap.servers": parse_url(kafka).name, "group.id": namespace, "auto.offset.reset": "earliest"})
    consumer.subscribe([f"{namespace}.{EXCHANGE}"])
    record = consumer.poll(30)
    consumer.close()
    message = kafka_binding.KafkaMessage(dict(record.headers()), record.key(), record.value())

    assert record.error() is None
    assert record.key() == "c-é".encode()
    assert_it_is_ours(kafka_binding.from_kafka(message, JSONFormat()), receipt)


def test_a_component_handles_what_cloudevents_and_confluent_kafka_publish(kafka, namespace):
    event = a_cloud_event()
    message = kafka_binding.to_binary(event, JSONFormat())

    def publish():
        producer = confluent_kafka.Producer({"bootstrap.servers": parse_url(kafka).name})
        producer.produce(f"{namespace}.{EXCHANGE}", message.value, message.key, headers=list(message.headers.items()))
        assert producer.flush(30) == 0

    (handled,) = handled_by_a_component(f"{kafka}?namespace={namespace}", publish)

    assert handled[:3] == (EVENT, "/tills/7", event.get_id())
    assert datetime.fromisoformat(handled[3]) == event.get_time()
    assert handled[4] == "c-é"


@pytest.mark.parametrize("time", [True, -1, 10**18, None, 1.5, [], "never"])
def test_a_time_that_is_none_stays_for_whoever_checks_it(time):
    assert known_headers({"ce-type": "cart.item.added", "ce-time": time}) == {"cloudEvents_type": "cart.item.added", "cloudEvents_time": time}
