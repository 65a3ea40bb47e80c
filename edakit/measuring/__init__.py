"""Measuring: what comes (workloads), what is seen (runs, statistics), and what queueing theory says of it."""

from __future__ import annotations

# Chapters 02, 03, 05, 06 and 07: build the event loop, the message queue, measure it properly, queues under load, brokers
from edakit.measuring.approximation import MGc, mgc
from edakit.measuring.attempts import Attempt, CrewRun, Death
from edakit.measuring.crew import ACKS, ParcelOrdered, run_crew, two_deaths
from edakit.measuring.experiment import compare, measure, measure_trials
from edakit.measuring.handlings import AtOnce, Handling, at_once, compare_at_once, handlings
from edakit.measuring.killing import kill_a_worker
from edakit.measuring.lindley import Little, lindley, little
from edakit.measuring.looplag import LoopLag, calmest_lags, loop_lag, sliced_lag
from edakit.measuring.omission import LOAD_MODELS, load_test, since_published
from edakit.measuring.onethread import OneThread, compute, on_one_thread
from edakit.measuring.reading import QueueReading, read_queue, service_law
from edakit.measuring.recorded import RecordedRun, load_recording, save_recording
from edakit.measuring.recording import Playback, record
from edakit.measuring.run import Deliveries, Run
from edakit.measuring.sharing import Sharing, consumer_of, partition_of, share_out
from edakit.measuring.statistics import Interval, after_warmup, backlog, ecdf, interval, mean, percentile, throughput
from edakit.measuring.sweep import QueueSample, RateSweep, Sweep, simulate_queue, sweep_rate, sweep_utilisation
from edakit.measuring.theory import MG1, MM1, Law, MMc, Queue, mg1, mm1, mmc
from edakit.measuring.workload import Arrivals, Burst, ClosedLoop, DayProfile, Each, Poisson, Steady, Workload

__all__ = [
    "ACKS",
    "LOAD_MODELS",
    "MG1",
    "MM1",
    "Arrivals",
    "AtOnce",
    "Attempt",
    "Burst",
    "ClosedLoop",
    "CrewRun",
    "DayProfile",
    "Death",
    "Deliveries",
    "Each",
    "Handling",
    "Interval",
    "Law",
    "Little",
    "LoopLag",
    "MGc",
    "MMc",
    "OneThread",
    "ParcelOrdered",
    "Playback",
    "Poisson",
    "Queue",
    "QueueReading",
    "QueueSample",
    "RateSweep",
    "RecordedRun",
    "Run",
    "Sharing",
    "Steady",
    "Sweep",
    "Workload",
    "after_warmup",
    "at_once",
    "backlog",
    "calmest_lags",
    "compare",
    "compare_at_once",
    "compute",
    "consumer_of",
    "ecdf",
    "handlings",
    "interval",
    "kill_a_worker",
    "lindley",
    "little",
    "load_recording",
    "load_test",
    "loop_lag",
    "mean",
    "measure",
    "measure_trials",
    "mg1",
    "mgc",
    "mm1",
    "mmc",
    "on_one_thread",
    "partition_of",
    "percentile",
    "read_queue",
    "record",
    "run_crew",
    "save_recording",
    "service_law",
    "share_out",
    "simulate_queue",
    "since_published",
    "sliced_lag",
    "sweep_rate",
    "sweep_utilisation",
    "throughput",
    "two_deaths",
]
