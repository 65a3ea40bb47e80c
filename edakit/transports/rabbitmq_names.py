"""A kombu connection on which every name is in a namespace, so that two users of one broker do not meet."""

from __future__ import annotations

from typing import Any

from amqp.protocol import queue_declare_ok_t

from edakit.transports.rabbitmq_wire import Channel, Connection, Transport

__all__ = ["transport_in"]


def transport_in(prefix: str) -> type[Transport]:  # noqa: C901 (one line for each method that takes a name)
    """Return a kombu transport that puts *prefix* before the names of exchanges and queues, and of no others."""
    if not prefix:
        return Transport

    def named(name: str | None) -> str:
        return f"{prefix}{name}" if name and not name.startswith("amq.") else name or ""

    class NamedChannel(Channel):
        def exchange_declare(self, exchange: str, *arguments: Any, **options: Any) -> Any:
            return super().exchange_declare(named(exchange), *arguments, **options)

        def exchange_delete(self, exchange: str, *arguments: Any, **options: Any) -> Any:
            return super().exchange_delete(named(exchange), *arguments, **options)

        def queue_declare(self, queue: str = "", *arguments: Any, **options: Any) -> Any:
            found = super().queue_declare(named(queue), *arguments, **options)
            return found and queue_declare_ok_t(found.queue.removeprefix(prefix), found.message_count, found.consumer_count)

        def queue_bind(self, queue: str, exchange: str = "", *arguments: Any, **options: Any) -> Any:
            return super().queue_bind(named(queue), named(exchange), *arguments, **options)

        def queue_unbind(self, queue: str, exchange: str, *arguments: Any, **options: Any) -> Any:
            return super().queue_unbind(named(queue), named(exchange), *arguments, **options)

        def queue_delete(self, queue: str = "", *arguments: Any, **options: Any) -> Any:
            return super().queue_delete(named(queue), *arguments, **options)

        def queue_purge(self, queue: str = "", *arguments: Any, **options: Any) -> Any:
            return super().queue_purge(named(queue), *arguments, **options)

        def basic_consume(self, queue: str = "", *arguments: Any, **options: Any) -> Any:
            return super().basic_consume(named(queue), *arguments, **options)

        def basic_get(self, queue: str = "", *arguments: Any, **options: Any) -> Any:
            return super().basic_get(named(queue), *arguments, **options)

        def _basic_publish(self, msg: Any, exchange: str = "", routing_key: str = "", **options: Any) -> Any:
            key = routing_key if exchange else named(routing_key)
            return super()._basic_publish(msg, exchange=named(exchange), routing_key=key, **options)

        basic_publish = _basic_publish

    class NamedConnection(Connection):
        Channel = NamedChannel

    class NamedTransport(Transport):
        Connection = NamedConnection

    return NamedTransport
