"""Kinds of values that settings are made of: addresses, networks, names, rates, each with its own refusal.

Owns      the validators, each with its message; values as TOML has them. Not here: the settings (model.py).
"""

import ipaddress
import json
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

TRANSPORTS: Final = ("udp", "tcp", "tls")
"""What may stand in front of an address to listen on."""
LONGEST_T30_ID: Final = 20
"""T.30 identities (CSI, TSI) have 20 characters."""


def parse_host_port(text: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[IPV6]:PORT`; the host is a numeric address. Raises ValueError saying what is expected."""
    host, colon, port = text.rpartition(":")
    expected = ValueError('expected a numeric address and a port, such as "127.0.0.1:5060" or "[::1]:5060"')
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise expected
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed != (":" in host):
        raise expected
    host = host[1:-1] if bracketed else host
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise expected from None


def parse_listen(text: str) -> tuple[str, str, int]:
    """Split `TRANSPORT:HOST:PORT`: the transport in capitals (UDP when it is left out), host and port.

    Raises ValueError saying what is expected.
    """
    word, colon, rest = text.partition(":")
    if word.lower() not in TRANSPORTS or not colon:
        word, rest = "udp", text
    return word.upper(), *parse_host_port(rest)


def _listen(text: str) -> str:
    try:
        parse_listen(text)
    except ValueError as why:
        raise ValueError(f'{why}, with "tcp:" or "tls:" in front where it is not UDP') from None
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError('expected networks, such as "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"') from None
    return text


def _identity(text: str) -> str:
    if len(text) > LONGEST_T30_ID or not text.isascii() or not text.isprintable():
        raise ValueError(f"expected at most {LONGEST_T30_ID} printable ASCII characters (T.30 has room for no more)")
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected one line of printable characters")
    return text


def _time_zone(name: str) -> str:
    try:
        _ = name and ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError('expected a time zone, such as "Europe/Berlin" or "UTC", or "" for this machine\'s') from None
    return name


def _even(port: int) -> int:
    if port % 2:
        raise ValueError("expected an even port (the odd one above it is its RTCP neighbour)")
    return port


def _no_doubles(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items or len(set(items)) != len(items):
        raise ValueError("expected at least one entry, each of them once")
    return items


ListenAt = Annotated[str, AfterValidator(_listen)]
Places = Annotated[tuple[ListenAt, ...], Field(strict=False)]
Network = Annotated[str, AfterValidator(_network)]
Identity = Annotated[str, AfterValidator(_identity)]
Line = Annotated[str, Field(max_length=128), AfterValidator(_one_line)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
OrElse = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
"""Seconds, and 0 for those of another setting."""
Pause = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1_024, le=65_534), AfterValidator(_even)]
Networks = Annotated[tuple[Network, ...], Field(strict=False)]
Rate = Literal[2400, 4800, 7200, 9600, 12000, 14400]
Codings = Annotated[tuple[Literal["MMR", "MR", "MH"], ...], Field(strict=False), AfterValidator(_no_doubles)]
AudioCodecs = Annotated[tuple[Literal["PCMU", "PCMA"], ...], Field(strict=False), AfterValidator(_no_doubles)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
ResolutionName = Literal[
    "standard",
    "fine",
    "superfine",
    "R16x15.4",
    "200x100",
    "200x200",
    "200x400",
    "300x300",
    "400x400",
    "600x600",
]
Resolutions = Annotated[tuple[ResolutionName, ...], Field(strict=False), AfterValidator(_no_doubles)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


LONGEST_SHOWN: Final = 80
"""Characters of what somebody wrote, in a message."""


def is_loopback(network: str) -> bool:
    """True when every address of the network is this machine's own."""
    return ipaddress.ip_network(network).is_loopback


def toml_value(value: object) -> str:
    """Write one value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(key))} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(str(value), ensure_ascii=False)


def shown(value: object) -> str:
    """The same for a message, which is one line: what is long is cut."""
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in toml_value(value))
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def named(name: str) -> str:
    """A name that its writer chose, for a message: as it is, unless it is long or would break the line."""
    return name if name.isprintable() and len(name) <= LONGEST_SHOWN else shown(name)


def table_label(kind: str, name: object, at: int) -> str:
    """How messages name one table of a list; `at` counts from 0."""
    return f"[[{kind}]] {at + 1}{f' ({named(name)})' if isinstance(name, str) and name else ''}"
