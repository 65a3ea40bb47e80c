"""Where a broker is: its URL, read by edakit, which hands kombu the parts (kombu mangles several of them)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from edakit.capabilities import BROKERS, Capabilities, able
from edakit.errors import BrokerURLError, CapabilityError
from edakit.transports.refused import REFUSED

__all__ = ["Address", "Login", "parse_url", "redact", "require", "within"]

_LONGEST = 32
_NAMESPACE = re.compile(rf"[a-z][a-z0-9_-]{{0,{_LONGEST - 1}}}")
"""No dot, so that `namespace.queue` can be taken apart again; RabbitMQ and Kafka allow all of it in their names."""


@dataclass(frozen=True)
class Login:
    """Where a server listens, and as whom to speak to it.

    Attributes:
        host, port: Where.
        user, password: Who, "" for nobody; the password is in no repr.
        vhost: RabbitMQ's virtual host.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str = "/"


@dataclass(frozen=True)
class Address:
    """A broker's URL, taken apart.

    Attributes:
        scheme: What kind of broker.
        name: Which one: the name of a shared memory:// broker, the path of a sqlite:// file.
        namespace: What keeps two users of one broker apart; "" for none.
        options: What else the URL asks for, by name.
        login: Where its server is and as whom to speak to it, if it has one.
    """

    scheme: str
    name: str
    namespace: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    login: Login | None = None

    @property
    def broker(self) -> Capabilities:
        """What it can do."""
        return BROKERS[self.scheme]


def parse_url(url: str) -> Address:
    """Take the address of a broker apart.

    Raises:
        BrokerURLError: it cannot be read, or the broker is not offered, with the reason.
    """
    known = ", ".join(f"{scheme}://" for scheme in BROKERS)
    scheme = _scheme(url)
    if scheme is None:
        raise BrokerURLError(redact(url), f"this is no URL; known: {known}")
    if refused := REFUSED.get(scheme.partition("+")[0]):  # kombu writes sqla+postgresql://
        # Of the rest nothing is shown: some of these keep a key where others have the user's name.
        raise BrokerURLError(f"{scheme}://", f"not offered, because {refused.why}; use {refused.instead}")
    shown = redact(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BrokerURLError(shown, f"it cannot be read: {error}") from None
    if "," in parts.netloc or ";" in url:
        raise BrokerURLError(shown, "it names more than one host; give one URL with one host")
    if parts.scheme not in BROKERS:
        raise BrokerURLError(shown, f"the scheme {parts.scheme!r} is unknown; known: {known}")
    name, checks = _READERS[parts.scheme](shown, parts)
    options = _options(shown, parts, {"namespace": _namespace} | checks)
    return Address(parts.scheme, name, options.pop("namespace", ""), options, _login(shown, parts))


def within(url: str, name: str) -> str:
    """Return *url* with the namespace *name*, behind the one that it has already: `anna` becomes `anna-name`, so that it is seen whose it is.

    Args:
        url: Address of a broker.
        name: Up to 20 of a-z, 0-9, - and _, beginning with a letter.
    """
    given = parse_url(url).namespace
    if not given:
        return f"{url}{'&' if '?' in url else '?'}namespace={name}"
    head, mark, options = url.rpartition("?")
    return head + mark + re.sub("(^|&)namespace=[^&]*", rf"\1namespace={given[: _LONGEST - 1 - len(name)]}-{name}", options)


def _scheme(url: str) -> str | None:
    """Return what stands in front of ://, in small letters; None where nothing does.

    Raises:
        BrokerURLError: *url* is no text.
    """
    if not isinstance(url, str):
        raise BrokerURLError(redact(repr(url)), f"this is a {type(url).__name__}, and no text; write a URL such as memory:// or sqlite:///shop.db")
    scheme, separator, _ = url.partition("://")
    return scheme.strip().lower() if separator else None


def redact(text: str) -> str:
    """Return *text* with `***` in place of a password that stands in a URL, or in an option of one; for whatever is shown, logged or raised."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


# Up to the last @: a password that nobody quoted may hold one, and anything else. Behind :/// is a path, with no password in front of it.
_PASSWORD = re.compile(r"(://(?!/)[^:@]*|^(?!.*://)[^:@]*):.*@", re.DOTALL)
_SECRET = re.compile(r"([?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)[^&\s]+", re.IGNORECASE)


def _quoted(part: str) -> str:
    """Return a *part* of a URL to be shown in an error, unless it may be the end of a password that nobody quoted."""
    return "***" if "@" in part else repr(part)


def _login(shown: str, parts: SplitResult) -> Login | None:
    if parts.scheme not in _PORTS:
        return None
    try:
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise BrokerURLError(shown, "its port is no number from 1 to 65535; in a password, write %2F for /, %3F for ?, %23 for # and %40 for @")
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if password and not user:
        raise BrokerURLError(shown, "it has a password and no user; write user:password@ before the host")
    host, vhost = parts.hostname, unquote(parts.path[1:]) or "/"
    if host and parts.scheme.startswith("kafka"):
        return Login(host, port, unquote(user), unquote(password))
    if not host or "/" in parts.path[1:]:
        raise BrokerURLError(shown, "it needs a host, and a virtual host in which / is written %2F: amqp://user:password@host:5672/shop")
    return Login(host, port, unquote(user) or "guest", unquote(password) if user else "guest", vhost)


Check = Callable[[str], str | None]
"""Takes the value of an option; returns what was expected instead, or None if it will do."""


def _options(shown: str, parts: SplitResult, checks: Mapping[str, Check]) -> dict[str, str]:
    """Return the options of a URL, each known and of a value that makes sense: nothing is silently ignored."""
    found: dict[str, str] = {}
    if parts.fragment:
        raise BrokerURLError(shown, f"what follows the # has no meaning here ({_quoted(parts.fragment)}); in a path or a password, write %23 for #")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in checks:
            raise BrokerURLError(shown, f"the option {_quoted(name)} is unknown; known: {', '.join(checks)}")
        if name in found:
            raise BrokerURLError(shown, f"the option {name!r} is given twice")
        if expected := checks[name](value):
            raise BrokerURLError(shown, f"the option {name!r} is {value!r}; give {expected}")
        found[name] = value
    return found


def _namespace(value: str) -> str | None:
    return None if _NAMESPACE.fullmatch(value) else "a name of a-z, 0-9, - and _ that begins with a letter, up to 32 characters"


def _lease(value: str) -> str | None:
    return None if re.fullmatch(r"\d+(\.\d+)?", value) and 0.2 <= float(value) <= 3600 else "seconds, from 0.2 to 3600"  # noqa: PLR2004 (as it says)


def _sync(value: str) -> str | None:
    return None if value in {"normal", "full"} else "normal (survives kill -9) or full (survives a power cut too)"


def _read_memory(shown: str, parts: SplitResult) -> tuple[str, dict[str, Check]]:
    if parts.path.strip("/") or "@" in parts.netloc:
        raise BrokerURLError(shown, "memory:// takes a name at most; write memory:// for a private bus, memory://name for a shared one")
    return parts.netloc, {}


def _read_sqlite(shown: str, parts: SplitResult) -> tuple[str, dict[str, Check]]:
    if parts.netloc:
        raise BrokerURLError(
            shown, f"{_quoted(parts.netloc)} would be a host; write sqlite:///shop.db for a file here, sqlite:////folder/shop.db for a whole path"
        )
    path = unquote(parts.path[1:])
    if not path or path.endswith(("/", "\\")) or path == ":memory:" or "\0" in path:
        raise BrokerURLError(shown, "it names no file; write sqlite:///shop.db, or memory:// for a bus without a file")
    return path, {"lease": _lease, "sync": _sync}


def _ca(value: str) -> str | None:
    return None if Path(value).is_file() else "the path of a file with the certificates of those whom you trust (PEM)"


def _read_amqp(shown: str, parts: SplitResult) -> tuple[str, dict[str, Check]]:
    del shown  # the host is looked at with the rest of the login
    return f"{parts.hostname}:{parts.path}", {"ca": _ca} if parts.scheme == "amqps" else {}


def _partitions(value: str) -> str | None:
    return None if re.fullmatch(r"[1-9]\d{0,3}", value) else "a whole number from 1 to 9999"


def _session(value: str) -> str | None:
    return None if re.fullmatch(r"\d+(\.\d+)?", value) and 0.5 <= float(value) <= 1800 else "seconds, from 0.5 to 1800; the broker has limits of its own"  # noqa: PLR2004 (as it says)


_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def _mechanism(value: str) -> str | None:
    return None if value in _MECHANISMS else f"one of {', '.join(_MECHANISMS)}"


def _read_kafka(shown: str, parts: SplitResult) -> tuple[str, dict[str, Check]]:
    usual = 9093 if parts.scheme == "kafkas" else 9092
    try:
        host, port = parts.hostname, parts.port or usual
    except ValueError:
        host = None
    if not host or parts.path.strip("/"):
        raise BrokerURLError(
            shown, f"write {parts.scheme}://host:port, such as {parts.scheme}://127.0.0.1:{usual}, with options behind a ? such as ?namespace=shop"
        )
    if bool(parts.username) != bool(parts.password):
        raise BrokerURLError(shown, f"it needs both or none: {parts.scheme}://user:password@host:port")
    checks: dict[str, Check] = {"partitions": _partitions, "session": _session, "mechanism": _mechanism}
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", checks | ({"ca": _ca} if parts.scheme == "kafkas" else {})


_PORTS = {"amqp": 5672, "amqps": 5671, "kafka": 9092, "kafkas": 9093}
_READERS: Mapping[str, Callable[[str, SplitResult], tuple[str, dict[str, Check]]]] = {
    "memory": _read_memory,
    "sqlite": _read_sqlite,
    "amqp": _read_amqp,
    "amqps": _read_amqp,
    "kafka": _read_kafka,
    "kafkas": _read_kafka,
}


def require(url: str, *, virtual: bool) -> Address:
    """Take the address apart, and make sure that the broker goes with the clock.

    Raises:
        CapabilityError: a virtual clock was asked for, and the broker lives in real time.
        BrokerURLError: as `parse_url`.
    """
    broker = BROKERS.get(_scheme(url) or "")
    if virtual and broker is not None and not broker.virtual_time:
        others = " or ".join(able("virtual_time"))
        raise CapabilityError(broker.name, "run in virtual time", f"use {others} with clock='virtual', or clock='wall' with this broker")
    return parse_url(url)
