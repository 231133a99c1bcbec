"""[[trunk]] tables: every key reaches an option, every option has a key, wrong values are refused in one sentence."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from vfax.errors import SettingsError
from vfax.leg import CallerOffer, SwitchBy
from vfax.settings import Settings, load, wiring
from vfax.settings.trunking import trunk_options
from vfax.settings.trunks import OVERRIDES, TrunkSettings
from vfax.transports.parameters import AudioCodec, ErrorCorrection
from vfax.transports.sip.keepalive import KeepAliveMode
from vfax.trunks.options import OWN_ADDRESS, TrunkOptions

EXAMPLE: Final = Path(__file__).parent.parent / "config" / "vfax.example.toml"
PLAIN: Final = '[[trunk]]\nname = "office"\ngateways = ["192.0.2.1"]\n'
DIGEST: Final = (
    PLAIN + 'accept = "digest"\nnetworks = ["192.0.2.0/24"]\ninbound_user = "pbx"\ninbound_password = "secret"\n'
)
USUAL: Final[dict[str, object]] = {
    "name": "office",
    "gateways": ["192.0.2.1"],
    "registers": True,
    "user": "fax1",
    "password": "secret",
    "accept": "digest",
    "networks": ["198.51.100.0/24"],
    "inbound_user": "pbx",
    "inbound_password": "hush",
    "tls_name": "sbc",
}
"""A trunk in which every key is of use."""
OTHERS: Final[dict[str, object]] = {
    "name": "other",
    "gateways": ["192.0.2.2"],
    "transport": "tcp",
    "outbound_proxy": "192.0.2.3:5070",
    "route": ["192.0.2.4"],
    "domain": "example.com",
    "public_address": "203.0.113.5:5062",
    "sip_keep_alive": "crlf",
    "stun_server": "stun.example.com",
    "tls_certificate": "other.pem",
    "tls_key": "other.key",
    "tls_authorities": "ca.pem",
    "tls_checks": "chain",
    "refresh_by": "update",
    "max_redirects": 3,
    "registrar": "192.0.2.9",
    "from_user": "4930123",
    "from_domain": "example.org",
    "p_asserted_identity": "{caller}",
    "p_preferred_identity": "sip:1@example.org",
    "remote_party_id": "tel:+4930123",
    "diversion": "49301@example.org",
    "dial_format": "{e164}",
    "caller_format": "{digits}",
    "did_format": "0{national}",
    "did_from": ["to", "diversion"],
    "caller_from": ["remote-party-id"],
    "region": "DE",
    "accept": "open",
    "networks": ["10.0.0.0/8"],
    "domains": ["example.net"],
    "session_timer": "ask",
    "session_expires": 3_600,
    "min_se": 100,
    "refresher": "us",
    "reliable": "off",
    "dtls": "required",
    "caller_offer": "audio",
    "switch_by": "peer",
    "audio_codecs": ["PCMA"],
    "tcp": "off",
    "version": 3,
    "max_bit_rate": 9_600,
    "error_correction": "none",
    "max_rate": 9_600,
    "min_rate": 4_800,
    "send_codings": ["MH"],
    "receive_codings": ["MH"],
}
"""For keys whose other value is not made of their default."""
FILES: Final = ("password_file", "password_env", "inbound_password_file", "inbound_password_env")
OF_THE_CHECK: Final = ("check_number",)  # of vfax check-trunk alone
NOT_BY_A_TRUNK: Final = {"TrunkOptions.leg"}  # by the keys of other sections, see OVERRIDES


def settings_of(**keys: object) -> Settings:
    return Settings.model_validate({"trunk": [keys]})


def options_of(**keys: object) -> TrunkOptions:
    (options,) = wiring.endpoint_options(settings_of(**keys)).trunks
    return options


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "vfax.toml"


def refused(toml: Path, text: str) -> str:
    toml.write_text(text)
    with pytest.raises(SettingsError) as caught:
        wiring.endpoint_options(load(toml, environ={}))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{toml}: ")


# --- what a trunk becomes ------------------------------------------------------------------------


def leaves(options: object) -> dict[str, object]:
    assert dataclasses.is_dataclass(options)
    found: dict[str, object] = {}
    for field in dataclasses.fields(options):
        value, name = getattr(options, field.name), f"{type(options).__name__}.{field.name}"
        if dataclasses.is_dataclass(value) and name not in NOT_BY_A_TRUNK and type(value).__name__ != "Uri":
            found |= leaves(value)
        else:
            found[name] = value
    return found


def another(key: str) -> object:
    usual = USUAL.get(key, TrunkSettings.model_fields[key].default)
    if key in OTHERS:
        return OTHERS[key]
    if isinstance(usual, bool):
        return not usual
    if isinstance(usual, int):
        return usual + 1
    if isinstance(usual, float):
        return usual / 2 if usual else 7.0
    if isinstance(usual, str):
        return f"{usual}x"
    section, theirs = OVERRIDES[key]
    held = getattr(getattr(Settings(), section), theirs)
    return not held if isinstance(held, bool) else held + 1


KEYS: Final = [key for key in TrunkSettings.model_fields if key not in (*FILES, *OF_THE_CHECK)]


def changed(key: str) -> dict[str, object]:
    keys = USUAL | {key: another(key)}
    if keys["accept"] != "digest":
        keys = {name: value for name, value in keys.items() if not name.startswith("inbound_") or name == key}
    return keys


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_trunk_reaches_an_option(key: str) -> None:
    assert leaves(options_of(**changed(key))) != leaves(options_of(**USUAL))


def test_every_option_of_a_trunk_has_a_key() -> None:
    usual = leaves(options_of(**USUAL))
    reached = set()
    for key in KEYS:
        now = leaves(options_of(**changed(key)))
        reached |= {name for name, value in usual.items() if now.get(name) != value}
    assert set(usual) - reached == set()


@pytest.mark.parametrize("key", OVERRIDES)
def test_what_a_trunk_has_of_its_own_changes_its_calls_and_no_others(key: str) -> None:
    settings = settings_of(**PLAIN_KEYS, **{key: another(key)})
    (trunk,) = wiring.endpoint_options(settings).trunks
    plain = options_of(**PLAIN_KEYS)
    parts = ("leg", "tls", "dialogs", "keep_alive", "stun_server")
    changed = [getattr(trunk, part) != getattr(plain, part) for part in parts]
    assert changed.count(True) == 1
    assert wiring.endpoint_options(settings).leg == wiring.leg_options(Settings())


PLAIN_KEYS: Final[dict[str, Any]] = {"name": "office", "gateways": ["192.0.2.1"]}


def test_a_trunk_that_says_nothing_has_the_policy_of_all_calls() -> None:
    settings = Settings.model_validate({"trunk": [PLAIN_KEYS], "fax": {"ecm": False}, "t38": {"max_datagram": 0}})
    (trunk,) = wiring.endpoint_options(settings).trunks
    assert trunk.leg == wiring.leg_options(settings)


@pytest.mark.parametrize(
    ("section", "keys", "server"),
    [
        ({}, {}, None),
        ({"stun": {"server": "stun.example"}}, {}, ("stun.example", 3478)),
        ({"stun": {"server": "stun.example"}}, {"stun_server": ""}, None),
        ({"stun": {"server": "stun.example"}}, {"stun_server": "other.example:99"}, ("other.example", 99)),
        ({"stun": {"server": "stun.example"}}, {"public_address": "own"}, None),
        ({"stun": {"server": "stun.example"}, "sip": {"public_address": "192.0.2.1"}}, {}, None),
        ({"sip": {"public_address": "192.0.2.1"}}, {"stun_server": "other.example"}, ("other.example", 3478)),
    ],
)
def test_who_is_asked_how_a_trunk_sees_us(section: dict[str, Any], keys: dict[str, object], server: Any) -> None:
    settings = Settings.model_validate({"trunk": [PLAIN_KEYS | keys]} | section)
    (trunk,) = wiring.endpoint_options(settings).trunks
    assert trunk.stun_server == server


def test_a_trunk_keeps_its_way_open_as_everybody_unless_it_says_otherwise() -> None:
    sip = {"keep_alive": "crlf", "keep_alive_interval": 9.0}
    for keys, mode, interval in (
        ({}, KeepAliveMode.CRLF, 9.0),
        ({"sip_keep_alive": "off"}, KeepAliveMode.OFF, 9.0),
        ({"sip_keep_alive_interval": 50.0}, KeepAliveMode.CRLF, 50.0),
    ):
        settings = Settings.model_validate({"trunk": [PLAIN_KEYS | keys], "sip": sip})
        (trunk,) = wiring.endpoint_options(settings).trunks
        assert (trunk.keep_alive.mode, trunk.keep_alive.interval) == (mode, interval)


def test_our_own_address_is_a_word() -> None:
    assert options_of(**PLAIN_KEYS, public_address="own").public_address == OWN_ADDRESS


def test_policy_in_words_becomes_values() -> None:
    leg = options_of(**PLAIN_KEYS, caller_offer="audio", switch_by="peer", audio_codecs=["PCMA"], ecm=False).leg
    assert (leg.caller_offer, leg.switch_by, leg.audio_codecs) == (CallerOffer.AUDIO, SwitchBy.PEER, (AudioCodec.PCMA,))
    assert not leg.fax.ecm
    assert options_of(**PLAIN_KEYS, error_correction="none").leg.t38.error_correction is ErrorCorrection.NONE


@pytest.mark.parametrize(
    ("written", "transport", "uri"),
    [
        ("pbx", "", "sip:pbx"),
        ("pbx.example.com:5070", "tcp", "sip:pbx.example.com:5070;transport=tcp"),
        ("sip:pbx.example.com;transport=tls", "udp", "sip:pbx.example.com;transport=tls"),
        ("sips:sbc.example.com", "udp", "sips:sbc.example.com"),
        ("2001:db8::7", "", "sip:[2001:db8::7]"),
        ("[2001:db8::7]:5062", "", "sip:[2001:db8::7]:5062"),
    ],
)
def test_gateways_may_be_hosts_or_uris(written: str, transport: str, uri: str) -> None:
    (gateway,) = options_of(name="t", gateways=[written], transport=transport).gateways
    assert gateway.text == uri


def test_one_gateway_needs_no_brackets(toml: Path) -> None:
    toml.write_text('[[trunk]]\nname = "office"\ngateways = "192.0.2.1"\n')
    assert load(toml, environ={}).trunk[0].gateways == ("192.0.2.1",)


def test_a_domain_alone_is_where_calls_go_and_who_we_are() -> None:
    options = options_of(
        name="t",
        domain="pbx.example.com",
        networks=["192.0.2.0/24"],
        registers=True,
        user="7",
        registrar="pbx.example.com",
    )
    assert [uri.text for uri in options.goals] == ["sip:pbx.example.com"]
    assert options.register is not None
    assert (options.register.registrar.text, options.register.domain) == ("sip:pbx.example.com", "pbx.example.com")
    assert options.identity.from_domain == "pbx.example.com"


@pytest.mark.parametrize(
    ("keys", "registrar", "goals"),
    [
        ({"gateways": ["192.0.2.1:5070"]}, "sip:192.0.2.1", ["sip:192.0.2.1:5070"]),
        ({"gateways": ["192.0.2.1:5070"], "domain": "pbx.example"}, "sip:pbx.example", ["sip:192.0.2.1:5070"]),
        (
            {"gateways": ["192.0.2.1"], "registrar": "reg.example:5062"},
            "sip:reg.example:5062",
            ["sip:reg.example:5062"],
        ),
        ({"domain": "pbx.example", "outbound_proxy": "edge"}, "sip:pbx.example", ["sip:edge"]),
        ({"registrar": "reg.example", "route": ["edge", "far"]}, "sip:reg.example", ["sip:edge"]),
        ({"registrar": "reg.example", "domain": "pbx.example"}, "sip:reg.example", ["sip:reg.example"]),
    ],
)
def test_a_registrar_is_asked_by_its_name_where_the_trunk_is(
    keys: dict[str, object], registrar: str, goals: list[str]
) -> None:
    register = options_of(name="t", registers=True, user="7", **keys).register
    assert register is not None
    assert (register.registrar.text, [goal.text for goal in register.goals]) == (registrar, goals)


def test_a_proxy_goes_before_gateways() -> None:
    options = options_of(**PLAIN_KEYS, route=["edge.example.com"])
    assert [uri.text for uri in options.goals] == ["sip:edge.example.com"]
    options = options_of(**PLAIN_KEYS, route=["edge.example.com"], outbound_proxy="192.0.2.9")
    assert [uri.text for uri in options.goals] == ["sip:192.0.2.9"]


# --- passwords -----------------------------------------------------------------------------------


def password_of(settings: Settings, environ: dict[str, str] | None = None) -> str:
    (trunk,) = trunk_options(settings, wiring.leg_options, environ=environ or {})
    assert trunk.credentials is not None
    return trunk.credentials.password


def test_passwords_come_from_settings_files_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file \nsecond line\n")
    assert password_of(settings_of(**PLAIN_KEYS, user="u", password="said")) == "said"
    assert password_of(settings_of(**PLAIN_KEYS, user="u", password_file=str(file))) == "from a file"
    settings = settings_of(**PLAIN_KEYS, user="u", password_env="OFFICE")
    assert password_of(settings, {"OFFICE": "from there"}) == "from there"


def test_no_password_is_ever_shown() -> None:
    shown = repr(options_of(**USUAL)) + repr(settings_of(**USUAL))
    assert "secret" not in shown
    assert "hush" not in shown


def test_a_password_file_that_is_not_there_is_said_with_what_to_do(toml: Path, tmp_path: Path) -> None:
    file = tmp_path / "none"
    said = refused(toml, f'{PLAIN}user = "u"\npassword_file = "{file}"\n')
    assert said.startswith(
        f'[[trunk]] 1 (office) password_file = "{file}": it cannot be read (No such file or directory)'
    )
    assert "put the password on its first line" in said


def test_a_password_variable_that_is_not_there_is_said_with_what_to_do(toml: Path) -> None:
    said = refused(toml, f'{PLAIN}user = "u"\npassword_env = "VFAX_TEST_NONE"\n')
    assert said.startswith('[[trunk]] 1 (office) password_env = "VFAX_TEST_NONE": the environment has no such variable')
    assert "set it where vfax is started" in said


def test_an_empty_password_file_is_refused(toml: Path, tmp_path: Path) -> None:
    file = tmp_path / "p"
    for octets in (b"", b"\n", b"\xff\xfe\n"):
        file.write_bytes(octets)
        said = refused(toml, f'{PLAIN}user = "u"\npassword_file = "{file}"\n')
        assert "its first line is empty or no text" in said


def test_a_password_is_not_shown_where_it_is_wrong(toml: Path) -> None:
    said = refused(toml, f'{PLAIN}user = "u"\npassword = "tab\\tular"\n')
    assert said == "[[trunk]] 1 (office) password = ...: expected a password in printable characters"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trunk = 3", "trunk: expected tables, each written [[trunk]]"),
        ("[trunk]\nname = 'x'", "trunk: expected tables, each written [[trunk]]"),
        ("[[trunk]]\ngateways = ['x']", "[[trunk]] 1 has no name: every trunk needs one"),
        ("[[trunk]]\nname = 'a.b'", '[[trunk]] 1 (a.b) name = "a.b": expected a name of at most 32 letters'),
        (PLAIN + "ecmm = true", "[[trunk]] 1 (office) ecmm: unknown key; did you mean ecm?"),
        (PLAIN + PLAIN, "[[trunk]] 2 (office) name: [[trunk]] 1 has it already: give each its own"),
        (
            DIGEST + DIGEST.replace("office", "branch"),
            '[[trunk]] 2 (branch) inbound_user = "pbx": [[trunk]] 1 (office) has it already, and calls are told apart',
        ),
        (
            PLAIN + 'tls_checks = "chain"\n' + PLAIN.replace("office", "branch") + 'tls_checks = "none"\n',
            "[[trunk]] 2 (branch) tls_name, tls_certificate, tls_key, tls_authorities, tls_checks: "
            "[[trunk]] 1 (office) has others for the host 192.0.2.1: give both the same",
        ),
        (PLAIN + PLAIN.replace("office", "OFFICE"), "[[trunk]] 2 (OFFICE) name: [[trunk]] 1 has it already"),
        ("[[trunk]]\nname = 'x'", "[[trunk]] 1 (x): it names no place at all: give gateways ="),
        (PLAIN + "max_rate = 33600", "[[trunk]] 1 (office) max_rate = 33600: expected 2400, 4800, 7200"),
        (PLAIN + "ecm = 1", "[[trunk]] 1 (office) ecm = 1: expected a valid boolean"),
        (PLAIN + "udptl_keep_alive = 0.0", "[[trunk]] 1 (office) udptl_keep_alive = 0.0: expected greater than 0"),
        (PLAIN + "audio_codecs = ['G729']", "[[trunk]] 1 (office) audio_codecs = \"G729\": expected 'PCMU' or 'PCMA'"),
        (
            PLAIN + "switch_by = 'us'",
            "[[trunk]] 1 (office) switch_by = \"us\": expected 'either', 'called', 'caller' or",
        ),
        (PLAIN + "transport = 'sctp'", "[[trunk]] 1 (office) transport = \"sctp\": expected '', 'udp', 'tcp' or 'tls'"),
        (PLAIN.replace("192.0.2.1", "user@192.0.2.1"), '[[trunk]] 1 (office) gateways = "user@192.0.2.1": expected a'),
        (PLAIN.replace("192.0.2.1", "a b"), '[[trunk]] 1 (office) gateways = "a b": expected a host such as'),
        (PLAIN.replace("192.0.2.1", "sip:x;transport=ws"), "transport is"),
        (PLAIN + "public_address = 'none'", '"203.0.113.5:5060" or "[2001:db8::1]:5060", or "own"'),
        (PLAIN + "sip_keep_alive = 'on'", "[[trunk]] 1 (office) sip_keep_alive = \"on\": expected 'auto', 'crlf' or"),
        (PLAIN + "stun_server = 'a@b'", '[[trunk]] 1 (office) stun_server = "a@b": expected a host with or without'),
        (PLAIN + "public_address = 'pbx'", '[[trunk]] 1 (office) public_address = "pbx": expected a numeric address'),
        (PLAIN + "domain = 'a@b'", '[[trunk]] 1 (office) domain = "a@b": expected the name of a domain alone'),
        (PLAIN + "dial_format = '{number}'", 'dial_format = "{number}": expected "" (as it is) or a text with {e164}'),
        (PLAIN + "dial_format = '00'", 'dial_format = "00": expected "" (as it is) or a text with {e164}'),
        (PLAIN + "from_user = 'a b'", 'from_user = "a b": expected'),
        (PLAIN + "diversion = '{number}'", 'diversion = "{number}": expected "" (not said), "{caller}"'),
        (PLAIN + "p_asserted_identity = 'x>;evil'", 'p_asserted_identity = "x>;evil": expected "" (not said)'),
        (PLAIN + "region = 'Germany'", 'region = "Germany": expected a country code of ISO 3166'),
        (PLAIN + "networks = ['10.0.0.1/8']", '[[trunk]] 1 (office) networks = "10.0.0.1/8": expected networks'),
        (PLAIN + "did_from = []", "[[trunk]] 1 (office) did_from = []: "),
        (PLAIN + "registers = true", "[[trunk]] 1 (office): registers = true needs to know whom: give user ="),
        (PLAIN + "registrar = 'x'", "[[trunk]] 1 (office): registrar is of use with registers = true alone"),
        (PLAIN + "user = 'u'\npassword = 'a'\npassword_env = 'A'", "three ways to say one thing: give one of them"),
        (PLAIN + "password = 'a'", "[[trunk]] 1 (office): a password without a user: give user, or auth_user"),
        (
            PLAIN + "accept = 'digest'",
            '[[trunk]] 1 (office): accept = "digest" needs inbound_user and inbound_password',
        ),
        (PLAIN + "inbound_user = 'x'", 'are of use with accept = "digest" alone: set that, or leave them out'),
        (PLAIN + "accept = 'open'", 'accept other than "network" needs networks that may try'),
        (PLAIN + "tls_checks = 'no'", "[[trunk]] 1 (office) tls_checks = \"no\": expected 'full', 'chain' or 'none'"),
        (PLAIN + "register_retry = 3600.0", "register_retry is longer than register_retry_max"),
        (
            PLAIN + "session_expires = 100\nmin_se = 200",
            "[[trunk]] 1 (office) session_expires = 100: expected at least min_se = 200",
        ),
        (
            PLAIN + "session_expires = 30",
            "[[trunk]] 1 (office) session_expires = 30: expected greater than or equal to",
        ),
        (PLAIN + "calls_per_second = -1.0", "calls_per_second = -1.0: expected greater than or equal to 0"),
        (PLAIN + "register_refresh_share = 1.0", "register_refresh_share = 1.0: expected less than or equal to 0.95"),
        (PLAIN + "password_env = 'A B'", 'password_env = "A B": expected the name of an environment variable'),
    ],
)
def test_a_wrong_trunk_is_refused_naming_it_its_key_and_what_is_expected(toml: Path, text: str, said: str) -> None:
    assert said in refused(toml, text)


def test_a_trunk_cannot_come_from_the_environment() -> None:
    with pytest.raises(SettingsError, match=r"trunks are written in the settings file, as \[\[trunk\]\]"):
        load(environ={"VFAX_TRUNK__NAME": "x"})


def test_the_trunk_in_the_example_holds_every_key_and_can_be_read(toml: Path) -> None:
    commented = EXAMPLE.read_text(encoding="utf-8").partition("#[[trunk]]")
    toml.write_text("\n".join(line.removeprefix("#") for line in "".join(commented[1:]).splitlines()))
    written = tomllib.loads(toml.read_text())["trunk"][0]
    assert set(written) == set(TrunkSettings.model_fields)
    (trunk,) = wiring.endpoint_options(load(toml, environ={})).trunks
    assert trunk == options_of(name="example", gateways=["pbx.example.com"])


def test_a_trunk_opens_vfax_to_a_network_on_purpose(toml: Path) -> None:
    toml.write_text(f'[sip]\nlisten = "0.0.0.0:5060"\n{PLAIN}')
    assert load(toml, environ={}).trunk[0].name == "office"


# --- the examples --------------------------------------------------------------------------------


EXAMPLES: Final = sorted((EXAMPLE.parent / "trunks").glob("*.toml"))
SECRETS: Final = {"PBX_PASSWORD": "a", "KAMAILIO_PASSWORD": "b", "PROVIDER_PASSWORD": "c"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loads_and_its_rule_for_numbers_names_its_trunk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = load(path, environ={})
    trunk, *others = wiring.endpoint_options(settings).trunks
    assert bool(others) is (path.stem == "behind-nat")
    assert settings.queue.dial.endswith(f"@{trunk.name}")
    assert trunk.goals
    assert (trunk.register is not None) is (path.stem in ("cloud-pbx", "behind-nat"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_only_hosts_that_are_for_examples(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    numeric = re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)
    assert numeric
    assert all(re.match(r"192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|192\.168\.", address) for address in numeric)
    hosts = re.findall(r"[\w-]+(?:\.[\w-]+)*\.(?:com|net|org)\b", text)
    assert all(re.search(r"(^|\.)example\.(com|net|org)$", host) for host in hosts)


def test_the_page_on_trunks_names_every_key_and_every_example() -> None:
    page = (EXAMPLE.parent.parent / "docs" / "trunks.md").read_text(encoding="utf-8")
    table = page.partition("| About | Keys |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(TrunkSettings.model_fields)
    assert set(re.findall(r"config/trunks/([\w-]+)\.toml", page)) == {path.stem for path in EXAMPLES}


def test_there_is_an_example_of_each_usual_kind() -> None:
    usual = {"cloud-pbx", "carrier", "asterisk", "freeswitch", "kamailio", "sbc-tls", "cucm", "behind-nat"}
    assert {path.stem for path in EXAMPLES} >= usual
