"""Settings: the example file equals the defaults, and every wrong value is refused in one line that helps."""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vfax.device import Provider
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import SettingsError
from vfax.fsp.constants import AccessRight, ProviderStatus
from vfax.fsp.provider import RefusedRecord, Registration, load_provider, probe_exports, register
from vfax.host.api.calls import ApiOptions
from vfax.host.api.listening import ListenOptions, own_desktop
from vfax.host.delivery import DeliveryOptions, DeliveryPlan
from vfax.host.notify import HubOptions
from vfax.host.service import HostOptions
from vfax.learning import MAX_ENTRIES
from vfax.settings import Section, Settings, doors, example_text, load, parse_host_port, serving, wiring
from vfax.settings.model import VFAX_GUID, OtherProviderSettings
from vfax.settings.routes import RouteSettings
from vfax.settings.trunks import TrunkSettings
from vfax.sockets import Listen
from vfax.transports.sip.values import Transport

OTHER_GUID = "{77777777-7777-4777-8777-777777777777}"
EXAMPLE = Path(__file__).parent.parent / "config" / "vfax.example.toml"


def refused(environ: dict[str, str] | None = None, path: Path | None = None, **overrides: object) -> str:
    given = {tuple(name.split("__")): value for name, value in overrides.items()}
    with pytest.raises(SettingsError) as caught:
        load(path, environ=environ or {}, overrides={(pair[0], pair[1]): value for pair, value in given.items()})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "vfax.toml"


def test_example_file_is_what_the_program_would_write() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example_text()


def test_example_file_holds_every_default_and_nothing_else() -> None:
    written = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert written == Settings().model_dump(mode="json", exclude={"route", "trunk"})


def test_the_rule_in_the_example_holds_every_key_and_can_be_read(toml: Path) -> None:
    commented = EXAMPLE.read_text(encoding="utf-8").partition("#[[route]]")
    lines = "".join(commented[1:]).partition("\n\n")[0].splitlines()
    toml.write_text("\n".join(line.removeprefix("#") for line in lines))
    (rule,) = load(toml, environ={}).route
    assert rule.model_fields_set == set(RouteSettings.model_fields)
    assert rule == RouteSettings(name="example", kind="folder")


def test_loading_the_example_gives_the_defaults() -> None:
    assert load(EXAMPLE, environ={}) == Settings()


def test_every_setting_in_the_example_has_a_comment_above_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    keys = [at for at, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert all(lines[at - 1].startswith("# ") and len(lines[at - 1]) > 10 for at in keys)


def test_settings_cannot_be_changed_after_loading() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.sip.listen = "127.0.0.1:1"


def test_environment_wins_over_the_file_and_the_command_line_over_both(toml: Path) -> None:
    toml.write_text("[host]\nlines = 2\n[fax]\necm = false\nname = 'file'\n")
    environ = {"VFAX_HOST__LINES": "3", "VFAX_FAX__NAME": "environment"}
    settings = load(toml, environ=environ, overrides={("host", "lines"): 5})
    assert (settings.host.lines, settings.fax.name, settings.fax.ecm) == (5, "environment", False)


def test_environment_needs_no_quotes_and_takes_lists_with_commas() -> None:
    environ = {
        "VFAX_SIP__ALLOW": "10.0.0.0/8, 192.0.2.7",
        "VFAX_FAX__LOCAL_ID": "49891234",
        "VFAX_FAX__ECM": "false",
        "VFAX_FAX__SEND_CODINGS": '["MH"]',
        "VFAX_HOST__SPOOL": "/var/spool/vfax",
    }
    settings = load(environ=environ)
    assert settings.sip.allow == ("10.0.0.0/8", "192.0.2.7")
    assert (settings.fax.local_id, settings.fax.ecm, settings.fax.send_codings) == ("49891234", False, ("MH",))
    assert settings.host.spool == Path("/var/spool/vfax")


def test_other_programs_variables_are_left_alone() -> None:
    assert load(environ={"VFAX_HOME": "/opt", "PATH": "/bin"}) == Settings()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[sip]\ndomain = 'a>;b'", '[sip] domain = "a>;b": expected the name of a domain'),
        ("[sip]\nlistn = 'x'", "[sip] listn: unknown key; did you mean listen?"),
        ("[sipp]\nlisten = 'x'", "[sipp]: unknown section; did you mean sip?"),
        ("[host]\nlisten = 'x'", "[host] listen: unknown key; did you mean [sip] or [clients] listen?"),
        ("[fax]\nt1 = 3", "[fax] t1: unknown key; did you mean [sip] or [timers] t1?"),
        ("[host]\nqqqqqq = 'x'", "[host] qqqqqq: unknown key; keys here are spool, lines,"),
        ("[sip]\nlisten = 'localhost'", '[sip] listen = "localhost": expected a numeric address and a port'),
        ("[sip]\nlisten = 'tcp:localhost:1'", '"[::1]:5060", with "tcp:" or "tls:" in front where it is not UDP'),
        (
            "[sip]\nlisten_also = ['tls:127.0.0.1:5061']",
            '"tls:127.0.0.1:5061" is to be listened on with TLS: give tls_cert',
        ),
        ("[sip]\nlisten_also = ['tcp:0.0.0.0:5060']", 'listen_also = "tcp:0.0.0.0:5060" opens vfax to a network'),
        ("[sip]\nallow = ['10.0.0.1/8']", '[sip] allow = "10.0.0.1/8": expected networks, such as'),
        ("[host]\nlines = '4'", '[host] lines = "4": expected a valid integer'),
        ("[host]\nlines = 0", "[host] lines = 0: expected greater than or equal to 1"),
        ("[host]\nlines = true", "[host] lines = true: expected a valid integer"),
        ("[fax]\necm = 1", "[fax] ecm = 1: expected a valid boolean"),
        ("[fax]\nmax_rate = 33600", "[fax] max_rate = 33600: expected 2400, 4800, 7200, 9600, 12000 or 14400"),
        ("[timers]\nt1 = inf", "[timers] t1 = inf: expected"),
        ("[fax]\nlocal_id = 'more than twenty characters'", "expected at most 20 printable ASCII characters"),
        ("[fax]\nsend_codings = []", "[fax] send_codings = []: expected at least one entry"),
        ("[fax]\nsend_codings = ['MH', 'MH']", "each of them once"),
        ("[fax]\nheader_timezone = 'Berlin'", '[fax] header_timezone = "Berlin": expected a time zone, such as'),
        ("[fax]\nresolutions = ['200x300']", "[fax] resolutions = "),
        ("[media]\nport_min = 20001", "[media] port_min = 20001: expected an even port"),
        ("[media]\nport_min = 30000", "[media] port_min = 30000: expected at most port_max = 20998"),
        ("sip = 3", "sip = 3: expected a table, written [sip]"),
        ("lines = 3", "lines = 3: expected a table"),
        ("[sip\n", "not TOML: "),
    ],
)
def test_a_wrong_file_is_refused_naming_file_key_value_and_what_is_expected(
    toml: Path, content: str, expected: str
) -> None:
    toml.write_text(content)
    said = refused(path=toml)
    assert said.startswith(f"{toml}: ")
    assert expected in said or (content.startswith("lines") and "unknown section" in said)


def test_a_missing_file_is_named(toml: Path) -> None:
    assert refused(path=toml) == f"{toml}: cannot read the settings: No such file or directory"


def test_octets_that_are_not_text_are_refused(toml: Path) -> None:
    toml.write_bytes(b"\xff\xfe\x00")
    assert "not TOML" in refused(path=toml)


def test_an_endless_file_is_not_read(toml: Path) -> None:
    toml.write_bytes(b"#" * ((1 << 20) + 1))
    assert "larger than 1048576 octets" in refused(path=toml)


def test_a_wrong_environment_variable_is_named_as_it_is_written() -> None:
    said = refused(environ={"VFAX_HOST__LINES": "many"})
    assert said == 'environment: VFAX_HOST__LINES = "many": expected a valid integer'


def test_a_misspelled_environment_variable_is_named_as_it_is_written() -> None:
    said = refused(environ={"VFAX_HOST__LINE": "3"})
    assert said == "environment: VFAX_HOST__LINE: unknown key; did you mean lines?"


def test_a_single_underscore_is_a_slip_and_said_so() -> None:
    said = refused(environ={"VFAX_SIP_LISTEN": "127.0.0.1:5060"})
    assert said == "environment: VFAX_SIP_LISTEN: unknown name; did you mean VFAX_SIP__LISTEN (two underscores)?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VFAX_HOST_MAX_DEVICES", "did you mean VFAX_HOST__MAX_DEVICES (two underscores)?"),
        ("VFAX_SPOOL", "did you mean VFAX_HOST__SPOOL (two underscores)?"),
        ("VFAX_T1", "did you mean VFAX_SIP__T1 or VFAX_TIMERS__T1 (two underscores)?"),
        ("VFAX_SIP_LISTN", "unknown name; did you mean listen? (written VFAX_SIP__KEY)"),
    ],
)
def test_slips_that_would_pass_unseen_are_refused(name: str, expected: str) -> None:
    said = refused(environ={name: "1"})
    assert said.startswith(f"environment: {name}: unknown name; ")
    assert said.endswith(expected)


@pytest.mark.parametrize("listen", ["0.0.0.0:5060", "[::]:5060", "192.0.2.1:5060"])
def test_listening_on_a_network_needs_a_word_on_who_may_call(listen: str) -> None:
    said = refused(sip__listen=listen)
    assert said.startswith(f'command line: [sip] listen = "{listen}" opens vfax to a network')
    assert "--allow 192.0.2.0/24" in said


def test_listening_on_a_network_with_that_word_is_accepted() -> None:
    settings = load(environ={}, overrides={("sip", "listen"): "0.0.0.0:5060", ("sip", "allow"): ["192.0.2.0/24"]})
    assert (settings.sip.listen, settings.sip.allow) == ("0.0.0.0:5060", ("192.0.2.0/24",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:5060", ("127.0.0.1", 5060)), ("[::1]:0", ("::1", 0)), ("0.0.0.0:65535", ("0.0.0.0", 65535))],
)
def test_addresses_are_split(text: str, expected: tuple[str, int]) -> None:
    assert parse_host_port(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":", "5060", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:5060", "[127.0.0.1]:1", "a:1", "[]:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a numeric address and a port"):
        parse_host_port(text)


def test_all_sections_refuse_unknown_keys_and_are_frozen() -> None:
    listed: list[Any] = [OtherProviderSettings, RouteSettings, TrunkSettings]  # what these three are lists of
    lists = ("providers", "route", "trunk")
    sections = [field.annotation for name, field in Settings.model_fields.items() if name not in lists]
    for model in (*listed, *sections):
        assert isinstance(model, type)
        assert issubclass(model, Section)
        assert (model.model_config.get("extra"), model.model_config.get("frozen")) == ("forbid", True)


# --- what settings become ----------------------------------------------------------------------------

OTHER_VALUES: dict[str, object] = {
    "sip.listen": "127.0.0.1:5099",
    "sip.listen_also": ("tcp:127.0.0.1:5060",),
    "sip.tls_checks": "chain",
    "sip.allow": ("10.0.0.0/8",),
    "sip.public_address": "192.0.2.9:5070",
    "sip.keep_alive": "crlf",
    "dns.servers": ("192.0.2.53", "[2001:db8::53]:5353"),
    "stun.server": "stun.example.com",
    "media.caller_offer": "audio",
    "media.internet_aware": "never",
    "media.tcp": "offer",
    "media.dtls": "required",
    "dtls.certificate": None,  # needs its key; see test_a_certificate_for_dtls_comes_with_its_key
    "dtls.key": None,
    "fax.max_width": 1728,
    "fax.send_codings": ("MH",),
    "fax.receive_codings": ("MH",),
    "fax.resolutions": ("standard",),
    "fax.header_timezone": "Europe/Berlin",
    "fax.min_rate": 4800,
    "fax.after_rtn": "go-on",
    "fax.bad_page": "dcn",
    "fax.max_rate": 9600,
    "t38.max_bit_rate": 9600,
    "t38.error_correction": "fec",
    "t38.pace": 0.5,
    "t38.max_fields": 100,
    "t38.v21_octet": 0.04,
    "t38.unpaced_tick": 0.008,
    "t38.read_version": "0",
    "provider.tsp_name": None,  # the one value there is
    "provider.fspi_version": None,
    "provider.capabilities": None,
    "provider.guid": "{99999999-9999-4999-8999-999999999999}",
    "provider.image_name": "another.module:create",
    "provider.configuration": {"key": "value"},
    "provider.process": "own",
    "host.idle_stop": 300.0,
    "host.create_timeout": 1.0,
    "host.config_timeout": 2.5,
    "host.initialize_timeout": 2.0,
    "host.start_job_timeout": 3.0,
    "host.end_job_timeout": 4.0,
    "host.shutdown_timeout": 5.0,
    "journal.folder": "/var/log/vfax",
    "journal.packets": "in",
    "journal.pcap": "failures",
    "host.spool": Path("/var/spool/vfax"),
    "queue.region": "DE",
    "mail.security": "tls",
    "mail.sender": "fax@example.org",
    "clients.socket": "/run/vfax.sock",
    "clients.socket_mode": "0600",
    "clients.socket_rights": ("all",),
    "clients.listen": None,  # needs a token
    "clients.certificate": None,  # needs its key
    "clients.certificate_key": None,
    "clients.tokens": [{"name": "crm", "sha256": "0" * 64, "rights": ["manage"]}],
    "clients.profile": "xp",
    "clients.account": "system",
    "queue.dial": "sip:{e164}@trunk.example.com",
    "media.audio_codecs": ("PCMA",),
    "media.switch_by": "peer",
    "sip.session_timer": "ask",
    "sip.refresher": "peer",
    "sip.refresh_by": "update",
    "sip.reliable": "require",
    "learning.entries": 10,
    "delivery.link": "https://fax.example/{job}",
}


def another(name: str, value: object) -> object:
    """A valid value that differs from the default."""
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 2 if value > 1_000 else value + 1
    if isinstance(value, float):
        return value / 2
    assert isinstance(value, str)
    return f"{value}x"


ALL_KEYS = [
    f"{section}.{key}"
    for section, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    for key in field.annotation.model_fields
]


def test_no_more_lessons_are_asked_for_than_are_kept() -> None:
    load(environ={}, overrides={("learning", "entries"): MAX_ENTRIES})
    with pytest.raises(SettingsError, match=r"\[learning\] entries"):
        load(environ={}, overrides={("learning", "entries"): MAX_ENTRIES + 1})


def registered(settings: Settings) -> list[Registration]:
    """With what packages bring: here one that is always there."""
    found = register(guid=OTHER_GUID, friendly_name="installed", image_name="installed.module:create")
    return wiring.registrations(settings, find=lambda taken: [found] if found.image_name not in taken else [])


def wired(settings: Settings) -> dict[str, object]:
    record = wiring.registration(settings)
    endpoint = {name: value for name, value in leaves(record.configuration["endpoint"]).items() if name != DISK}
    devices = {key: value for key, value in record.configuration.items() if key != "endpoint"}
    return (
        endpoint
        | devices
        | leaves(dataclasses.replace(record, configuration={}))
        | leaves(wiring.host_options(settings))
        | {"registrations": [(one.friendly_name, one.own_process) for one in registered(settings)]}
        | {"store": serving.store_url(settings), "dirty days": settings.queue.dirty_days}
        | {"idle stop": serving.server_options(settings).idle_stop}
        | leaves(serving.queue_options(settings))
        | leaves(serving.dial_plan(settings))
        | leaves(wiring.convert_limits(settings))
        | leaves(serving.keep_options(settings))
        | delivery(settings)
        | clients(settings)
    )


@pytest.mark.parametrize("name", ALL_KEYS)
def test_every_setting_reaches_an_option(name: str) -> None:
    section, _, key = name.partition(".")
    value = another(name, getattr(getattr(Settings(), section), key))
    if value is None:
        return
    changed = load(environ={}, overrides={(section, key): value})
    assert wired(changed) != wired(Settings())


def delivery(settings: Settings) -> dict[str, object]:
    return leaves(serving.delivery_options(settings)) | leaves(serving.delivery_plan(settings).mail)


def clients(settings: Settings) -> dict[str, object]:
    found = doors.client_options(settings)
    return {} if found is None else leaves(found)


DISK = "EndpointOptions.disk"
NOT_SET_BY_AN_OPERATOR = {
    "SipOptions.options_sdp",  # what we can do follows from the other settings
    "T30Options.modems",  # by max_rate
    "T30Options.local_tcf",  # negotiated
    "T30Options.internet_aware",  # decided for each call by LegOptions.internet_aware
    "T38Parameters.rate_management",
    "T38Parameters.fill_bit_removal",
    "T38Parameters.transcoding_mmr",
    "T38Parameters.transcoding_jbig",
    "T38Parameters.max_buffer",
    "T38Parameters.transport",  # follows from LegOptions.tcp and dtls
    "DtlsOptions.certificate",  # need each other
    "DtlsOptions.key",
    DISK,  # the system calls, for tests
    "DnsOptions.hosts_path",  # that of the system
    "EndpointOptions.resident",  # vfax send is not
    "EndpointOptions.trunks",  # tables, not a section: see test_trunk_settings.py
    "HostOptions.receive",  # vfax send
    "HubOptions.desktop",  # the host's own
    "ListenOptions.address",  # see test_the_door_on_the_network
    "ListenOptions.certificate",
    "ListenOptions.key",
}


def leaves(options: object) -> dict[str, object]:
    """Every field of an options value and of the options in it, by class and name."""
    assert dataclasses.is_dataclass(options)
    found: dict[str, object] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        name = f"{type(options).__name__}.{field.name}"
        if dataclasses.is_dataclass(value) and name not in NOT_SET_BY_AN_OPERATOR:
            found |= leaves(value)
        else:
            found[name] = value
    return found


def all_options(settings: Settings) -> dict[str, object]:
    return (
        leaves(wiring.endpoint_options(settings))
        | leaves(wiring.host_options(settings))
        | delivery(settings)
        | clients(settings)
    )


def test_every_option_of_every_room_has_a_setting() -> None:
    reached = set()
    usual = all_options(Settings())
    for name in ALL_KEYS:
        section, _, key = name.partition(".")
        value = another(name, getattr(getattr(Settings(), section), key))
        if value is not None:
            changed = load(environ={}, overrides={(section, key): value})
            now = all_options(changed)
            reached |= {option for option, old in usual.items() if now[option] != old}
    reached.discard(DISK)
    assert set(usual) - reached == NOT_SET_BY_AN_OPERATOR


def test_default_settings_are_the_default_options() -> None:
    ours = leaves(wiring.endpoint_options(Settings()))
    theirs = leaves(EndpointOptions())
    announced = {
        "EndpointOptions.media_ports",
        "EndpointOptions.journal",
        "EndpointOptions.learned",
        "T38Parameters.max_datagram",
        "SieveOptions.max_unproven_calls",  # a share of the lines
    }
    differing = {name for name, value in theirs.items() if ours[name] != value and name not in NOT_SET_BY_AN_OPERATOR}
    assert differing == announced
    assert wiring.host_options(Settings()) == HostOptions(spool=Path("spool"))
    assert serving.delivery_options(Settings()) == DeliveryOptions()
    assert serving.delivery_plan(Settings()) == DeliveryPlan()


def test_a_certificate_for_dtls_comes_with_its_key(toml: Path) -> None:
    toml.write_text("[dtls]\ncertificate = 'own.pem'\nkey = 'own.key'\n")
    options = wiring.dtls_options(load(toml, environ={}))
    assert (options.certificate, options.key) == (Path("own.pem"), Path("own.key"))
    toml.write_text("[dtls]\ncertificate = 'own.pem'\n")
    assert "[dtls] key is missing: expected both certificate and key, or neither" in refused(path=toml)


# --- the door for clients ----------------------------------------------------------------------------

DIGEST = "ab" * 32
CRM = f'tokens = [{{ name = "crm", sha256 = "{DIGEST}", rights = ["submit", "query"] }}]'
CERTIFICATE = 'certificate = "c.pem"\ncertificate_key = "k.pem"'


def test_the_door_on_the_network(toml: Path) -> None:
    toml.write_text(f'[clients]\nsocket = ""\nlisten = "0.0.0.0:8443"\n{CERTIFICATE}\n{CRM}\n')
    made = doors.client_options(load(toml, environ={}))
    assert made is not None
    assert (made.listen.socket, made.listen.address) == (None, ("0.0.0.0", 8443))
    assert (made.listen.certificate, made.listen.key) == (Path("c.pem"), Path("k.pem"))
    assert [(token.name, token.digest, token.rights) for token in made.tokens] == [("crm", DIGEST, 0x03)]


def test_a_door_without_any_socket_is_none() -> None:
    assert doors.client_options(load(environ={}, overrides={("clients", "socket"): ""})) is None


def test_the_default_door_is_a_socket_in_the_spool_with_the_default_limits() -> None:
    made = doors.client_options(Settings())
    assert made is not None
    rights = AccessRight.FAX_JOB_SUBMIT | AccessRight.FAX_JOB_QUERY
    assert made.listen == ListenOptions(socket=Path("spool").absolute() / "clients.sock", peer_rights=rights)
    assert made.api == ApiOptions(uploads=Path("spool").absolute() / "uploads")
    assert (made.hub, made.tokens) == (HubOptions(desktop=own_desktop()), ())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('listen = "0.0.0.0:8443"', 'listen = "0.0.0.0:8443" would show tokens to the network: give certificate'),
        (f'listen = "0.0.0.0:8443"\n{CRM}', "would show tokens to the network"),
        ('listen = "127.0.0.1:8443"', "lets nobody in: give tokens"),
        ('listen = "localhost:8443"', "expected a numeric address and a port"),
        ('certificate = "c.pem"', "certificate and certificate_key belong together"),
        ('tokens = [{ name = "crm", sha256 = "secret" }]', "expected the SHA-256 of a token"),
        (f'tokens = [{{ name = "a b", sha256 = "{DIGEST}" }}]', "expected a name of at most 64"),
        (f'tokens = [{{ name = "a", sha256 = "{DIGEST}", rights = ["everything"] }}]', "expected rights among submit"),
        (f'tokens = [{{ name = "a", sha256 = "{DIGEST}" }}, {{ name = "b", sha256 = "{DIGEST}" }}]', "two tokens have"),
        ('tokens = [{ name = "a" }]', "expected the SHA-256 of a token"),
        ('socket_mode = "rw"', "expected permissions in octal"),
        ('socket_rights = ["root"]', "expected rights among"),
        ('profile = "vista"', "expected 'win2000' or 'xp'"),
    ],
)
def test_a_door_that_cannot_be_meant_is_refused(toml: Path, content: str, expected: str) -> None:
    toml.write_text(f"[clients]\n{content}\n")
    said = refused(path=toml)
    assert "[clients]" in said
    assert expected in said


def test_the_registration_record_makes_the_provider() -> None:
    record = wiring.registration(load(environ={}, overrides={("host", "lines"): 3}))
    exports = probe_exports(load_provider(record))
    assert exports.virtual
    assert record.configuration["lines"] == 3


def test_a_record_that_is_none_is_refused_as_a_setting() -> None:
    settings = load(environ={}, overrides={("provider", "guid"): "nonsense"})
    with pytest.raises(SettingsError, match=r"\[provider\].*'nonsense' is not a GUID"):
        wiring.registration(settings)


# --- several providers -------------------------------------------------------------------------------

TWO = f"""
[[provider]]
friendly_name = "our device"
process = "own"
[[provider]]
guid = "{OTHER_GUID}"
friendly_name = "File drop"
image_name = "filedrop:create_provider"
configuration = {{ folder = "/var/spool/drop" }}
"""


def test_a_list_of_providers_holds_the_device_and_the_others(toml: Path) -> None:
    toml.write_text(TWO)
    settings = load(toml, environ={})
    assert (settings.provider.friendly_name, settings.provider.guid) == ("our device", VFAX_GUID)
    ours, other, brought = registered(settings)
    assert (ours.own_process, ours.image_name) == (True, "vfax.settings.apart:create_provider")
    assert (other.friendly_name, other.guid, other.own_process) == ("File drop", OTHER_GUID, False)
    assert not isinstance(other, RefusedRecord)
    assert other.configuration == {"folder": "/var/spool/drop"}
    assert brought.friendly_name == "installed"


def test_a_list_without_the_device_leaves_it_as_it_is(toml: Path) -> None:
    toml.write_text(TWO.partition('process = "own"')[2])
    settings = load(toml, environ={"VFAX_PROVIDER__ENABLED": "false"})
    ours, other, _ = registered(settings)
    assert (ours.friendly_name, ours.enabled, other.enabled) == ("vfax SIP/T.38", False, True)


def test_a_single_table_is_the_device_and_may_name_another(toml: Path) -> None:
    toml.write_text(f'[provider]\nguid = "{OTHER_GUID}"\nimage_name = "mine:create"\n')
    first, *more = registered(load(toml, environ={}))
    assert (first.guid, first.image_name, len(more)) == (OTHER_GUID, "mine:create", 1)
    assert not isinstance(first, RefusedRecord)
    assert first.configuration["lines"] == 4


def test_what_a_package_brings_is_left_out_where_the_file_names_it_or_wants_none(toml: Path) -> None:
    toml.write_text(TWO.replace("filedrop:create_provider", "installed.module:create"))
    assert len(registered(load(toml, environ={}))) == 2
    toml.write_text(TWO + "[host]\ninstalled_providers = false\n")
    assert len(registered(load(toml, environ={}))) == 2


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ((OTHER_GUID, "nonsense"), ProviderStatus.fpsBAD_GUID, "'nonsense' is not a GUID"),
        (("[[provider]]\nguid", "[[provider]]\nfspi_version = 2\nguid"), ProviderStatus.fpsBAD_VERSION, "0x00010000"),
        (("filedrop:", "file drop:"), ProviderStatus.fpsCANT_LOAD, "package.module:attribute"),
    ],
)
def test_a_record_of_another_provider_that_is_none_stays_with_its_reason(
    toml: Path, change: tuple[str, str], status: ProviderStatus, words: str
) -> None:
    toml.write_text(TWO.replace(*change))
    _, other, _ = registered(load(toml, environ={}))
    assert isinstance(other, RefusedRecord)
    assert other.failure.status is status
    assert words in str(other.failure)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("configuration =", "configuratoin ="),
            "[[provider]] 2: configuratoin: unknown key; did you mean configuration?",
        ),
        ((f'guid = "{OTHER_GUID}"\n', ""), '[[provider]] "File drop": guid is missing'),
        (('"File drop"', "7"), "[[provider]] friendly_name = 7: expected a valid string"),
        (('process = "own"', 'process = "mine"'), "[provider] process = \"mine\": expected 'host' or 'own'"),
        (
            ('image_name = "filedrop:create_provider"\n', ""),
            "[[provider]] 2: this is vfax.device:create_provider again",
        ),
        (('"our device"', "7"), "[provider] friendly_name = 7: expected a valid string"),
    ],
)
def test_a_wrong_list_of_providers_is_refused_naming_the_entry(toml: Path, change: tuple[str, str], said: str) -> None:
    toml.write_text(TWO.replace(*change))
    assert refused(path=toml).startswith(f"{toml}: {said}")


def test_a_list_of_what_is_no_table_is_refused(toml: Path) -> None:
    toml.write_text("provider = [1]\n")
    assert refused(path=toml) == f"{toml}: provider = [1]: expected a table, written [provider]"


def test_the_device_is_made_from_a_dump_of_the_settings() -> None:
    settings = load(environ={}, overrides={("host", "lines"): 3, ("provider", "process"): "own"})
    record = wiring.own_registration(settings)
    assert json.loads(json.dumps(dict(record.configuration))) == record.configuration
    made = load_provider(record)
    assert isinstance(made, Provider)
    assert made._options.lines == 3
    assert isinstance(made.network, Endpoint)
    assert made.network.options.leg == wiring.leg_options(settings)


@pytest.mark.parametrize(
    ("destination", "listen"),
    [
        ("sip:fax@127.0.0.1:5060", ("127.0.0.1", 0)),
        ("sip:fax@localhost", ("127.0.0.1", 0)),
        ("sip:fax@[::1]:5060", ("::1", 0)),
        ("sip:+4930@192.0.2.1", ("0.0.0.0", 0)),
        ("sip:fax@[2001:db8::1]", ("::", 0)),
        ("sip:fax@gateway.example", ("0.0.0.0", 0)),
    ],
)
def test_a_sender_listens_where_the_destination_can_answer(destination: str, listen: tuple[str, int]) -> None:
    options = wiring.network_towards(Settings(), destination).options
    assert options.listen == Listen(*listen)
    assert options.listen_also == ()


@pytest.mark.parametrize(
    ("destination", "also"),
    [
        ("sip:fax@127.0.0.1;transport=tcp", (Listen("127.0.0.1", 0, Transport.TCP),)),
        ("sip:fax@[2001:db8::1];transport=TCP", (Listen("::", 0, Transport.TCP),)),
        ("sips:fax@127.0.0.1", ()),  # without a certificate nobody could connect to us
        ("sip:fax@127.0.0.1;transport=udp", ()),
    ],
)
def test_a_sender_over_a_stream_listens_for_it_too(destination: str, also: tuple[Listen, ...]) -> None:
    assert wiring.network_towards(Settings(), destination).options.listen_also == also


def test_a_sender_with_a_certificate_listens_with_tls() -> None:
    settings = load(environ={}, overrides={("sip", "tls_certificate"): "fax.pem"})
    options = wiring.network_towards(settings, "sips:fax@127.0.0.1").options
    assert options.listen_also == (Listen("127.0.0.1", 0, Transport.TLS),)


@pytest.mark.parametrize(
    ("destination", "listen"), [("sip:1@[::1]:5060", "127.0.0.1:0"), ("sip:1@127.0.0.1", "[::1]:0")]
)
def test_a_sender_cannot_listen_in_the_other_internet(destination: str, listen: str) -> None:
    with pytest.raises(SettingsError, match=r"--listen .* cannot be called from there"):
        wiring.network_towards(Settings(), destination, listen)


@pytest.mark.parametrize(
    "destination",
    ["fax", "tel:+4930123456", "http://example.org", "sip:", "sip:@@", "192.0.2.1", f"sip:1@{'a' * 64}.example"],
)
def test_a_destination_that_is_no_sip_uri_is_refused(destination: str) -> None:
    with pytest.raises(SettingsError, match="expected a SIP URI, such as"):
        wiring.network_towards(Settings(), destination)


def test_numbers_need_a_sip_template_where_the_device_of_vfax_is_the_only_one(toml: Path) -> None:
    toml.write_text("[host]\ninstalled_providers = false\n")
    assert not serving.dial_plan(load(toml, environ={})).numbers
    toml.write_text('[host]\ninstalled_providers = false\n[queue]\ndial = "sip:{e164}@trunk.example.com"\n')
    assert serving.dial_plan(load(toml, environ={})).numbers


@pytest.mark.parametrize("image_name", ["mine:create", ""])
def test_other_providers_may_dial_numbers_as_they_are(image_name: str, toml: Path) -> None:
    toml.write_text(
        f'[provider]\nimage_name = "{image_name}"\n'
        if image_name
        else f'[[provider]]\n[[provider]]\nguid = "{OTHER_GUID}"\nfriendly_name = "o"\nimage_name = "mine:create"\n'
    )
    assert serving.dial_plan(load(toml, environ={})).numbers
    found = register(guid=OTHER_GUID, friendly_name="installed", image_name="installed.module:create")
    assert not wiring.dials_sip_alone(Settings(), find=lambda taken: [found])
    assert wiring.dials_sip_alone(Settings(), find=lambda taken: [])


def test_a_template_that_no_device_can_dial_is_refused_at_the_start(toml: Path) -> None:
    toml.write_text('[host]\ninstalled_providers = false\n[queue]\ndial = "0{national}"\n')
    with pytest.raises(SettingsError, match=r"^\[queue\] dial = '0\{national\}': .*sip:0\{national\}@trunk"):
        serving.server_options(load(toml, environ={}))
