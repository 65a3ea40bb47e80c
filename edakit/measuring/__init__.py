"""Measuring: what comes (workloads), what is seen (runs, statistics), and what queueing theory says of it."""

from __future__ import annotations

# Chapter 05: measure it properly
from edakit.measuring.experiment import compare, measure, measure_trials
from edakit.measuring.lindley import Little, lindley, little
from edakit.measuring.recording import Playback, record
from edakit.measuring.run import Deliveries, Run
from edakit.measuring.statistics import Interval, after_warmup, backlog, ecdf, interval, mean, percentile, throughput

# Chapter 06: queues under load
from edakit.measuring.sweep import QueueSample, RateSweep, Sweep, simulate_queue, sweep_rate, sweep_utilisation
from edakit.measuring.theory import MG1, MM1, Law, MMc, Queue, mg1, mm1, mmc
from edakit.measuring.workload import Arrivals, Burst, ClosedLoop, DayProfile, Each, Poisson, Steady, Workload

__all__ = [
    "MG1",
    "MM1",
    "Arrivals",
    "Burst",
    "ClosedLoop",
    "DayProfile",
    "Deliveries",
    "Each",
    "Interval",
    "Law",
    "Little",
    "MMc",
    "Playback",
    "Poisson",
    "Queue",
    "QueueSample",
    "RateSweep",
    "Run",
    "Steady",
    "Sweep",
    "Workload",
    "after_warmup",
    "backlog",
    "compare",
    "ecdf",
    "interval",
    "lindley",
    "little",
    "mean",
    "measure",
    "measure_trials",
    "mg1",
    "mm1",
    "mmc",
    "percentile",
    "record",
    "simulate_queue",
    "sweep_rate",
    "sweep_utilisation",
    "throughput",
]
