"""Settings: every number an operator may turn, read from TOML and the environment, refused whole when one is wrong.

Owns      names, defaults, bounds and explanations of all settings; the one line that says what is wrong with one.
Not here  what the values do: each room has an options dataclass of its own, and wiring.py fills those from here.

`Settings()` is the defaults and reads nothing. `load` reads a file, then the environment (`VFAX_SECTION__KEY`, written
as in TOML, plain words unquoted), then what the command line says; later ones win. config/vfax.example.toml is
`example_text()`, and a test holds them equal.

pydantic validates; the reading is done here and not by pydantic-settings, because an error must say whether the file
or the environment holds the wrong value, and because making a value object must not depend on the environment.
"""

import difflib
import ipaddress
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from vfax.errors import SettingsError

ENV_PREFIX: Final = "VFAX_"
ENV_SEPARATOR: Final = "__"
ENVIRONMENT: Final = "environment"
MAX_FILE_OCTETS: Final = 1 << 20
"""Limit: a settings file is small; a larger one is another file by mistake."""

LOOPBACK_NETWORKS: Final = ("127.0.0.0/8", "::1/128")
VFAX_GUID: Final = "{6f1d9c0e-7a53-4a0b-9b0e-38f5f2a4c1d7}"

LONGEST_T30_ID: Final = 20
"""T.30 identities (CSI, TSI) have 20 characters (T.30 (09/2005) 5.3.6.2.4)."""


# --- words that need more than a type --------------------------------------------------------------


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


def _host_port(text: str) -> str:
    parse_host_port(text)
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError('expected networks, such as "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"') from None
    return text


def _address_or_empty(text: str) -> str:
    if text:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError('expected a numeric IP address, or "" for the address of the socket') from None
    return text


def _identity(text: str) -> str:
    if len(text) > LONGEST_T30_ID or not text.isascii() or not text.isprintable():
        raise ValueError(f"expected at most {LONGEST_T30_ID} printable ASCII characters (T.30 has room for no more)")
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected one line of printable characters")
    return text


def _even(port: int) -> int:
    if port % 2:
        raise ValueError("expected an even port (the odd one above it is its RTCP neighbour)")
    return port


def _no_doubles(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items or len(set(items)) != len(items):
        raise ValueError("expected at least one entry, each of them once")
    return items


HostPort = Annotated[str, AfterValidator(_host_port)]
Network = Annotated[str, AfterValidator(_network)]
Identity = Annotated[str, AfterValidator(_identity)]
Line = Annotated[str, Field(max_length=128), AfterValidator(_one_line)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
AddressOrEmpty = Annotated[str, AfterValidator(_address_or_empty)]
Port = Annotated[int, Field(ge=1_024, le=65_534), AfterValidator(_even)]
Networks = Annotated[tuple[Network, ...], Field(strict=False)]
Rate = Literal[2400, 4800, 7200, 9600, 12000, 14400]
Codings = Annotated[tuple[Literal["MMR", "MR", "MH"], ...], Field(strict=False), AfterValidator(_no_doubles)]
Resolutions = Annotated[
    tuple[Literal["standard", "fine", "superfine"], ...], Field(strict=False), AfterValidator(_no_doubles)
]


def is_loopback(network: str) -> bool:
    """True when every address of the network is this machine's own."""
    return ipaddress.ip_network(network).is_loopback


class Section(BaseModel):
    """What all sections share: frozen, strict about types, no unknown keys, defaults checked as well."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)


# --- the sections ----------------------------------------------------------------------------------


class SipSettings(Section):
    """Signalling: where calls come in, from whom, and how long each side may take."""

    listen: HostPort = Field(
        default="127.0.0.1:5060",
        description="Numeric address and UDP port to listen on; other than loopback, `allow` must say who may call.",
    )
    allow: Networks = Field(
        default=LOOPBACK_NETWORKS,
        description="Networks whose calls are taken; datagrams from others are dropped and counted.",
    )
    public_address: AddressOrEmpty = Field(
        default="",
        description="Address to announce in SIP and SDP where it is not the socket's (behind NAT). \"\": the socket's.",
    )
    user_agent: Line = Field(default="", description='Our User-Agent and Server. "": vfax and its version.')
    answer_timeout: Seconds = Field(
        default=30.0, description="Seconds a call may ring here before it is refused (480)."
    )
    dial_timeout: Seconds = Field(default=90.0, description="Seconds our call may ring there before it is given up.")
    max_calls: int = Field(default=200, ge=1, le=100_000, description="Calls at once, all peers; the next hears 486.")
    max_message: int = Field(
        default=65_535, ge=1_500, le=65_535, description="Octets of one SIP message; else dropped."
    )

    @model_validator(mode="after")
    def _open_only_on_purpose(self) -> Self:
        host, _ = parse_host_port(self.listen)
        if not ipaddress.ip_address(host).is_loopback and all(is_loopback(network) for network in self.allow):
            raise ValueError(
                f"listen = {toml_value(self.listen)} opens vfax to a network, but allow names loopback only: "
                'expected who may call, as in allow = ["192.0.2.0/24"] (--allow 192.0.2.0/24)'
            )
        return self


class MediaSettings(Section):
    """How a call gets its ports and becomes a T.38 call."""

    port_min: Port = Field(default=20_000, description="First UDP port for audio and T.38; even.")
    port_max: Port = Field(default=20_998, description="Last UDP port for audio and T.38; even.")
    call_mode: Literal["t38_first", "audio_first"] = Field(
        default="t38_first",
        description='How we call: "t38_first" offers T.38 at once, "audio_first" begins with G.711.',
    )
    t38_wait: Seconds = Field(
        default=3.0, description="Called: seconds of audio (our CED) before we offer T.38 ourselves."
    )
    reinvite_delay: Seconds = Field(
        default=6.0, description="Calling with audio: seconds we leave the offer of T.38 to the called side."
    )
    inactivity_timeout: Seconds = Field(default=60.0, description="Seconds without any media before a call is ended.")

    @model_validator(mode="after")
    def _ports_in_order(self) -> Self:
        if self.port_min > self.port_max:
            raise ValueError(f"port_min = {self.port_min}: expected at most port_max = {self.port_max}")
        return self


class T38Settings(Section):
    """T.38 over UDPTL: what we offer and how we send."""

    version: int = Field(default=0, ge=0, le=3, description="T38FaxVersion to offer.")
    max_rate: Rate = Field(default=14_400, description="T38MaxBitRate to offer, bit/s.")
    packet_ms: int = Field(default=30, ge=10, le=60, description="Milliseconds of image data in one packet.")
    control_redundancy: int = Field(default=3, ge=0, le=7, description="Earlier packets repeated with V.21 signals.")
    image_redundancy: int = Field(default=1, ge=0, le=7, description="Earlier packets repeated with image data.")
    max_datagram: int = Field(default=400, ge=64, le=4_096, description="T38FaxMaxDatagram we announce, octets.")


class FaxSettings(Section):
    """The fax terminal: who we are, what we can do, how long we wait."""

    local_id: Identity = Field(default="", description="Our number as CSI and TSI, at most 20 characters.")
    name: Line = Field(default="vfax", description="Name of this station in records.")
    ecm: bool = Field(default=True, description="Offer and use error correction mode.")
    max_rate: Rate = Field(default=14_400, description="Fastest modulation, bit/s.")
    codings: Codings = Field(default=("MMR", "MR", "MH"), description="Page codings to offer and use (MMR needs ECM).")
    resolutions: Resolutions = Field(default=("standard", "fine", "superfine"), description="Resolutions to offer.")
    t1: Seconds = Field(default=35.0, description="T.30 timer T1: seconds to identify the other side.")
    t2: Seconds = Field(default=6.0, description="T.30 timer T2: seconds a receiver waits for a command.")
    t4: Seconds = Field(default=3.0, description="T.30 timer T4: seconds a sender waits for a response.")


class LimitSettings(Section):
    """What one call may cost before it is ended."""

    max_pages: int = Field(default=1_000, ge=1, le=100_000, description="Pages of one fax.")


class HostSettings(Section):
    """The fax service: where faxes go, how many lines, how long a provider may take."""

    spool: Annotated[Path, Field(strict=False)] = Field(
        default=Path("spool"), description="Folder of the faxes: received ones appear in its inbox."
    )
    lines: int = Field(default=4, ge=1, le=10_000, description="Lines (devices): faxes at once, both directions.")
    call_timeout: Seconds = Field(
        default=10.0, description="Seconds a provider may take for any call but Send and Receive."
    )
    operation_timeout: Seconds = Field(
        default=14_400.0, description="Seconds one Send or Receive may take before it is aborted."
    )
    shutdown_grace: Seconds = Field(
        default=5.0, description="Seconds running faxes get to end at shutdown before they are abandoned."
    )


class ProviderSettings(Section):
    """The registration record of the provider (fsp.md 8.4); any provider with the contract's exports will do."""

    guid: str = Field(default=VFAX_GUID, description="Unique name of the provider.")
    friendly_name: Line = Field(default="vfax SIP/T.38 devices", description="Name to show.")
    image_name: str = Field(default="vfax.device:create_provider", description="Entry point, package.module:attribute.")
    tsp_name: Literal[""] = Field(default="", description="Telephony provider; empty for virtual devices.")
    fspi_version: int = Field(default=0x00010000, description="Interface version; 65536 is the only one there is.")
    capabilities: int = Field(default=0, description="Always 0.")


class JournalSettings(Section):
    """The journal: one JSON line for each event of a call."""

    enabled: bool = Field(default=True, description="Write a journal for every call.")


class Settings(Section):
    """All settings; immutable. `Settings()` is the defaults."""

    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    t38: T38Settings = T38Settings()
    fax: FaxSettings = FaxSettings()
    limits: LimitSettings = LimitSettings()
    host: HostSettings = HostSettings()
    provider: ProviderSettings = ProviderSettings()
    journal: JournalSettings = JournalSettings()


# --- reading ---------------------------------------------------------------------------------------


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[tuple[str, str], object] | None = None,
) -> Settings:
    """Read settings: defaults, then the file, then the environment, then `overrides` (section, key).

    Raises SettingsError, always one line: which source, which key, its value, what is expected.
    """
    merged: dict[str, Any] = {}
    sources: dict[tuple[str, str], str] = {}
    file_name = str(path) if path is not None else "settings"
    if path is not None:
        _merge(merged, sources, _read_file(path), file_name)
    _merge(merged, sources, _read_environment(os.environ if environ is None else environ), ENVIRONMENT)
    for (section, key), value in (overrides or {}).items():
        _merge(merged, sources, {section: {key: value}}, "command line")
    try:
        return Settings.model_validate(merged)
    except ValidationError as why:
        raise SettingsError(_one_sentence(why, sources, file_name)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
    except OSError as why:
        raise SettingsError(f"{path}: cannot read the settings: {why.strerror or why}") from why
    if len(octets) > MAX_FILE_OCTETS:
        raise SettingsError(f"{path}: larger than {MAX_FILE_OCTETS} octets; expected a settings file in TOML")
    try:
        tables = tomllib.loads(octets.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as why:
        raise SettingsError(f"{path}: not TOML: {why}") from why
    for name, table in tables.items():
        if not isinstance(table, dict):
            _known_section(name, str(path))
            raise SettingsError(f"{path}: {name} = {_shown(table)}: expected a table, written [{name}]")
    return tables


def _read_environment(environ: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Collect VFAX_SECTION__KEY; VFAX_SECTION_KEY, the usual slip, is refused so that it does not pass unseen."""
    tables: dict[str, dict[str, object]] = {}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX):
            continue
        section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition(ENV_SEPARATOR)
        if not separator:
            _refuse_single_underscore(name, section)
            continue
        tables.setdefault(section, {})[key] = _from_environment(_field(section, key), environ[name])
    return tables


def _refuse_single_underscore(name: str, words: str) -> None:
    section, _, key = words.partition("_")
    if _field(section, key) is not None:
        meant = f"{ENV_PREFIX}{section}{ENV_SEPARATOR}{key}".upper()
        raise SettingsError(f"environment: {name}: unknown name; did you mean {meant} (two underscores)?")


def _from_environment(field: FieldInfo | None, text: str) -> object:
    """Read a value as TOML would, except that plain words need no quotes and lists may be words with commas."""
    if field is None:
        return text
    kind = get_origin(field.annotation) or field.annotation
    if kind in (str, Path):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [word.strip() for word in text.split(",") if word.strip()] if kind is tuple else text


def _merge(
    merged: dict[str, Any], sources: dict[tuple[str, str], str], tables: Mapping[str, Mapping[str, object]], source: str
) -> None:
    for section, table in tables.items():
        _known_section(section, source)
        for key, value in table.items():
            _known_key(section, key, source)
            merged.setdefault(section, {})[key] = value
            sources[section, key] = source


# --- saying what is wrong --------------------------------------------------------------------------


def _sections() -> dict[str, type[Section]]:
    found: dict[str, type[Section]] = {}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        found[name] = field.annotation
    return found


def _field(section: str, key: str) -> FieldInfo | None:
    model = _sections().get(section)
    return model.model_fields.get(key) if model is not None else None


def _known_section(name: str, source: str) -> None:
    known = _sections()
    if name not in known:
        label = _label(name, "", source)
        raise SettingsError(f"{source}: {label}: unknown section; {_nearest(name, known, 'sections are')}")


def _known_key(section: str, key: str, source: str) -> None:
    known = _sections()[section].model_fields
    if key in known:
        return
    elsewhere = [name for name, model in _sections().items() if key in model.model_fields]
    hint = f"did you mean [{elsewhere[0]}] {key}?" if elsewhere else _nearest(key, known, "keys here are")
    raise SettingsError(f"{source}: {_label(section, key, source)}: unknown key; {hint}")


def _nearest(name: str, known: Mapping[str, object], otherwise: str) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(known)}"


def _one_sentence(why: ValidationError, sources: Mapping[tuple[str, str], str], file_name: str) -> str:
    first = why.errors(include_url=False)[0]
    words = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    section = str(first["loc"][0]) if first["loc"] else ""
    if len(first["loc"]) < 2:
        given = [source for (named, _), source in sources.items() if named == section]
        return f"{given[-1] if given else file_name}: [{section}] {words}"
    key = str(first["loc"][1])
    source = sources.get((section, key), file_name)
    return f"{source}: {_label(section, key, source)} = {_shown(first['input'])}: {words}"


def _label(section: str, key: str, source: str) -> str:
    """Name a setting as its writer wrote it."""
    if source == ENVIRONMENT:
        return f"{ENV_PREFIX}{section}{ENV_SEPARATOR}{key}".upper()
    return f"[{section}] {key}".rstrip()


def _shown(value: object) -> str:
    text = toml_value(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- writing the example ---------------------------------------------------------------------------


def toml_value(value: object) -> str:
    """Write one value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return json.dumps(str(value), ensure_ascii=False)


def example_text() -> str:
    """The text of config/vfax.example.toml: every setting with its default and what it is for."""
    return "\n".join(_example_lines()) + "\n"


def _example_lines() -> Iterator[str]:
    yield "# Every setting of vfax with its default. Keep what you change; what is left out keeps its default."
    yield "# Each may also come from the environment: VFAX_SECTION__KEY, as in VFAX_SIP__LISTEN=127.0.0.1:5062."
    defaults = Settings()
    for name, model in _sections().items():
        yield ""
        yield f"[{name}]  # {(model.__doc__ or '').splitlines()[0]}"
        values = getattr(defaults, name)
        for key, field in model.model_fields.items():
            yield f"# {field.description}"
            yield f"{key} = {toml_value(getattr(values, key))}"
