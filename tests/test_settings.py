"""Settings: the example file equals the defaults, and every wrong value is refused in one line that helps."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from vfax.errors import SettingsError
from vfax.settings import Section, Settings, example_text, load, parse_host_port

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
    assert written == Settings().model_dump(mode="json")


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
        ("[sip]\nlistn = 'x'", "[sip] listn: unknown key; did you mean listen?"),
        ("[sipp]\nlisten = 'x'", "[sipp]: unknown section; did you mean sip?"),
        ("[host]\nlisten = 'x'", "[host] listen: unknown key; did you mean [sip] listen?"),
        ("[fax]\nt1 = 3", "[fax] t1: unknown key; did you mean [sip] or [timers] t1?"),
        ("[host]\nqqqqqq = 'x'", "[host] qqqqqq: unknown key; keys here are spool, lines,"),
        ("[sip]\nlisten = 'localhost'", '[sip] listen = "localhost": expected a numeric address and a port'),
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
    for field in Settings.model_fields.values():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, Section)
        assert (model.model_config.get("extra"), model.model_config.get("frozen")) == ("forbid", True)
