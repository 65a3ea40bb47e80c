"""What can go wrong when something is measured."""

from __future__ import annotations

from edakit.errors import EdakitError

__all__ = ["NoClosedFormError", "NothingMeasuredError", "OverloadError", "ShapeError", "WorkloadLineError"]


class ShapeError(EdakitError, ValueError):
    """Two lists belong together and differ in length."""

    def __init__(self, first: str, first_length: int, second: str, second_length: int) -> None:
        self.first, self.first_length, self.second, self.second_length = first, first_length, second, second_length
        super().__init__(first, first_length, second, second_length)

    def __str__(self) -> str:
        return f"{self.first} has {self.first_length} entries and {self.second} {self.second_length}; give as many of one as of the other"


class NothingMeasuredError(EdakitError, ValueError):
    """A statistic was asked of no values at all."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        super().__init__(asked)

    def __str__(self) -> str:
        return f"{self.asked} of no values does not exist; was anything handled, and after the warm-up?"


class OverloadError(EdakitError, ValueError):
    """More arrives than can be handled: the backlog grows for ever, and no law of waiting times exists."""

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate, self.capacity = rate, capacity
        super().__init__(rate, capacity)

    def __str__(self) -> str:
        return f"{self.rate:g} events/s arrive and {self.capacity:g} can be handled, so the backlog only grows; lower the rate, or add workers"


class NoClosedFormError(EdakitError):
    """The model has no formula for what was asked."""

    def __init__(self, model: str, asked: str) -> None:
        self.model, self.asked = model, asked
        super().__init__(model, asked)

    def __str__(self) -> str:
        return f"{self.model} has no formula for {self.asked}; measure it, or draw it with simulate_queue(…)"


class WorkloadLineError(EdakitError, ValueError):
    """A line of a recorded workload cannot be read."""

    SHAPE = """a line is seconds,type,json with doubled quotes, such as 12.5,cart.viewed,"{""cart_id"":""c-1""}\""""

    def __init__(self, path: str, line: int, found: str, problem: str) -> None:
        self.path, self.line, self.found, self.problem = path, line, found, problem
        super().__init__(path, line, found, problem)

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.problem}; found {self.found!r}; {self.SHAPE}; mend it or remove it"
