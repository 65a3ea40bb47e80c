"""What each broker promises, in sentences: what a table of yes and no cannot say. `page.py` puts the two together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edakit.transports.broker import LONGEST_WAIT
from edakit.transports.rabbitmq_connection import HEARTBEAT, TRYING
from edakit.transports.rabbitmq_publisher import WINDOW
from edakit.transports.sqlite_consumer import LEASE
from edakit.transports.sqlite_file import PATIENCE

__all__ = ["PROMISES", "Promise"]


@dataclass(frozen=True)
class Promise:
    """What one kind of broker promises.

    Attributes:
        made_for: What it is the right broker for.
        confirmed: What is certain when `publish` has returned.
        failed: What an error of `publish` says about the event.
        repeated: What comes again after a crash, and when.
        order: In which order events come.
        details: How it does what it can, by capability: one sentence or more for each of `page.SPOKEN` that the table grants.
        avoid: When not to use it.
    """

    made_for: str
    confirmed: str
    failed: str
    repeated: str
    order: str
    details: Mapping[str, str]
    avoid: tuple[str, ...]


_MEMORY: Final = Promise(
    made_for="The first minute, tests, and virtual time. Nothing has to be installed.",
    confirmed="Each queue that is bound has its own copy, in the memory of this process.",
    failed="No queue has the event.",
    repeated="The end of the process ends everything. A worker that is stopped, or crashed on purpose with `Faults`, gives back what it had not "
    "acked. It comes to the front of its queue, in the old order.",
    order="As published. What was given back for a retry comes when it is due, behind what came meanwhile.",
    details={
        "virtual_time": "The app jumps from one due time to the next; the same seed gives the same trace.",
        "delayed": "In memory, on the app's own clock.",
        "bounds": "No queue ever holds more. One full queue refuses the event for all: either every queue has it or none. "
        f'`when_full="wait"` lets a publishing thread wait {LONGEST_WAIT:g} s for room; a program of one thread is refused at once.',
        "drops": 'With `when_full="drop newest"` or `"drop oldest"`; what is dropped is counted as refused.',
        "must_route": "`UnroutableEventError` before anything is delivered.",
    },
    avoid=(
        "when several processes are to share it",
        "when an event must outlive the process",
        "when you want to know how fast a network broker is: here nothing leaves the process",
    ),
)
_SQLITE: Final = Promise(
    made_for="Several processes on one machine, with nothing to install, and a log that can be replayed.",
    confirmed="The transaction is committed: the event is in the log, and each queue that is bound has its copy. That survives `kill -9` of any process. "
    "With `?sync=full` in the address it survives a power cut too, and each publish waits for the disk.",
    failed="Nothing was written: the transaction was undone.",
    repeated="What a killed process had taken and not acked comes back when its lease ends. "
    f"That is {LEASE:g} s after it was last renewed (`?lease=` in the address). Acks are written in blocks, so the last few handled events may come again. "
    "Attempts are counted in the file: a crash does not start them anew.",
    order="As committed, whichever process published. What a killed process had comes back in its old place, behind what others have taken since.",
    details={
        "processes": "On one machine. Consumers share a queue event by event; a publisher wakes a consumer of another process within some milliseconds.",
        "durable": "In one file and its two companions (`-wal`, `-shm`). `edakit worker` leaves an empty lock file beside it for each component.",
        "replay": "Each event that was published has an offset in the file. Nothing is removed from the log, so the file grows.",
        "delayed": "The due time is in the file: a crash does not shorten or lengthen it.",
        "bounds": "The bound and its policy are in the file and hold for all processes. One full queue refuses the event for all queues. "
        f'`when_full="wait"` waits up to {LONGEST_WAIT:g} s for room that any process makes.',
        "drops": 'With `when_full="drop newest"` or `"drop oldest"`; what is dropped counts as refused, where the publishing process has the component.',
        "must_route": "`UnroutableEventError`; nothing is written.",
    },
    avoid=(
        "from more than one machine: SQLite's WAL needs shared memory, which a network drive does not give",
        "when many processes write at the same time: a file has one writer at a time",
        f"beside a program that keeps the file locked: a call waits {PATIENCE:g} s for it, then raises",
        "for a log that grows for ever on a disk that does not",
    ),
)
_RABBITMQ: Final = Promise(
    made_for="Several machines that share work event by event, with an operator, users and rights.",
    confirmed="RabbitMQ has confirmed it: each queue that is bound has written its copy. Component queues are quorum queues, so a majority of the replicas "
    f"has it on disk. `publish_many` keeps {WINDOW} in flight.",
    failed="`BrokerError`: the event was not taken. `UncertainError`: the line was lost before the confirm, for longer than "
    f"{TRYING:g} s; the event may be there. What was in flight when a line broke is sent again. It may come twice, with the same id.",
    repeated="What a killed process had not acked comes back when its connection ends. That is at once; a silent line ends after two heartbeats, "
    f"about {2 * HEARTBEAT} s. Acks travel in blocks, so the last few handled events may come again. The broker counts deliveries; attempts that a retry "
    "counted in the process are lost with it.",
    order="As published, for one consumer. What comes back after a crash may come behind later events.",
    details={
        "processes": "On any machine. Consumers share a queue event by event.",
        "durable": "Queues and events are durable; a restart of the broker keeps them.",
        "delayed": "Held by the consumer, un-acked: if its process dies, the event comes back at once.",
        "bounds": "A bounded queue is a classic queue, and its bound cannot be changed later (`CapabilityError`). Where one queue is full, the others have the "
        "event all the same. The policy belongs to processes that have the component: others are told `QueueFullError`. "
        f'`when_full="wait"` waits up to {LONGEST_WAIT:g} s.',
        "drops": 'With `when_full="drop newest"` or `"drop oldest"`, by a publishing process that has the component; there it counts as refused.',
        "must_route": "`UnroutableEventError`; RabbitMQ itself returned the event.",
    },
    avoid=(
        "when you need to read again what was handled: an acked event is gone",
        "when the order of a key matters and several processes serve one component: use `kafka://`, or one process",
        "for long delays: they are held in the memory of a consumer",
    ),
)
_KAFKA: Final = Promise(
    made_for="Streams: many events, order by key over many processes, and a log that others read too.",
    confirmed="All in-sync replicas have it (`acks=all`), and the delivery report of that very record says so. The producer is idempotent: its own retries "
    "write nothing twice. How many replicas there are is the cluster's setting.",
    failed="`BrokerError`: the event was not taken. `UncertainError`: the cluster did not confirm it in time; the event may be there.",
    repeated="What comes behind the last committed offset of a partition. An offset is committed when all below it are done, 50 ms later at most. "
    "One slow event may hold up to 10,000 handled ones back. The partitions of a killed process go to another when its session ends, after 6 s (`?session=`). "
    "Attempts that were counted in the process are lost with it.",
    order="Per partition, and a key stays in its partition. Between keys of different partitions there is none.",
    details={
        "processes": "On any machine, up to the number of partitions: 3, or `?partitions=` when the topic is made. Each partition has one consumer at a time, "
        "so all events of a key go to one process.",
        "durable": "As long as the topic keeps them; a broker's usual setting is seven days, handled or not. "
        "What was deleted before a component read it is told, once.",
        "replay": "From any offset that the topic still has; partitions are merged by the broker's time, to the millisecond.",
        "delayed": "Held by the consumer: if its process dies, the event comes again at once.",
    },
    avoid=(
        "when a queue must have a bound, or an event without a subscriber must be refused",
        "when a component may stand still for longer than the topic keeps its events: they are deleted then, and it is told",
        "when the number of partitions will change: a key would go to another one; edakit stops with an error",
        "for a few events a minute: a cluster is much to look after",
    ),
)
PROMISES: Final = {"memory": _MEMORY, "sqlite": _SQLITE, "amqp": _RABBITMQ, "amqps": _RABBITMQ, "kafka": _KAFKA, "kafkas": _KAFKA}
"""By URL scheme."""
