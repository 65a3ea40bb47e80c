"""What the shop raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable

from edakit.errors import EdakitError

__all__ = ["CatalogueFileError", "NoSuchDayError", "PastError", "RetailFileError", "ShopOptionError", "UnknownProductError", "WorkerEndedError"]


class UnknownProductError(EdakitError, KeyError):
    """A product was named that the shop does not have."""

    def __init__(self, product_id: str, known: Iterable[str]) -> None:
        self.product_id, self.known = product_id, tuple(known)
        super().__init__(product_id, self.known)

    def __str__(self) -> str:
        some = ", ".join(self.known[:3]) + (", …" if len(self.known) > 3 else "")  # noqa: PLR2004 (a few, to show what they look like)
        return f"the shop has no product {self.product_id!r} (it has {len(self.known):,}: {some}); take one of shop.state.catalogue.products"


class ShopOptionError(EdakitError, TypeError):
    """The shop was given an option that it does not have."""

    def __init__(self, option: str, known: Iterable[str]) -> None:
        self.option, self.known = option, tuple(known)
        super().__init__(option, self.known)

    def __str__(self) -> str:
        return f"build_shop has no option {self.option!r} (it has: {', '.join(self.known)}); correct the name"


class CatalogueFileError(EdakitError):
    """A file cannot be read as a catalogue, from *line* on; 0 is the file itself."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        self.path, self.line, self.problem = path, line, problem
        super().__init__(path, line, problem)

    def __str__(self) -> str:
        place = f"{self.path}, line {self.line}" if self.line else self.path
        return f"{place}: {self.problem}; write product_id, name, price_pence and popularity, as in data/catalogue.csv"


class RetailFileError(EdakitError):
    """A file cannot be read as lines of Online Retail."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(path, problem)

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class NoSuchDayError(EdakitError, ValueError):
    """A file of Online Retail has no lines of the day that was asked for."""

    def __init__(self, found: str, days: Iterable[str], busiest: str) -> None:
        self.found, self.days, self.busiest = found, tuple(days), busiest
        super().__init__(found, self.days, busiest)

    def __str__(self) -> str:
        if not self.days:
            return "the file has no line that can be read, so there is no day to play back; check the file with --check"
        asked = f"the file has no line of {self.found}" if self.found else "the file has several days"
        near = [day for day in self.days if day[:7] == self.found[:7]]
        of_month = f"; of that month: {', '.join(near)}" if near else ""
        several = f"it has {len(self.days)} days from {self.days[0]} to {self.days[-1]}{of_month}"
        return f"{asked} ({several if len(self.days) > 1 else f'it has {self.days[0]} only'}); choose one, such as --day {self.busiest}, the busiest"


class PastError(EdakitError):
    """A day is to be played back to workers on a broker that has kept events of before."""

    def __init__(self, events: int) -> None:
        self.events = events
        super().__init__(events)

    def __str__(self) -> str:
        return f"the broker has kept {self.events:,} events of before, which would be counted too; give the address another namespace, such as ?namespace=day-2"


class WorkerEndedError(EdakitError):
    """A worker process did not become ready."""

    def __init__(self, components: Iterable[str], status: int | None) -> None:
        self.components, self.status = tuple(components), status
        super().__init__(self.components, status)

    def __str__(self) -> str:
        how = "stands by, because another process serves them" if self.status is None else f"ended with status {self.status} and has said why"
        return f"the worker of {', '.join(self.components)} {how}; mend that, or give the address another namespace"
