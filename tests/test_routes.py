"""Rules for received faxes in the settings: what they become, and one sentence for each that cannot be meant."""

from pathlib import Path

import pytest

from vfax.errors import SettingsError
from vfax.host.deliver_mail import MailServer, Security
from vfax.host.document import Format
from vfax.host.routing import Body, CommandTarget, FolderTarget, MailTarget, Rule, WebhookTarget
from vfax.settings import Settings, load, serving
from vfax.settings.routes import DeliverySettings, MailSettings, RouteSettings

DOCS = (Path(__file__).parents[1] / "docs" / "delivery.md").read_text("utf-8")
MAIL = '[mail]\nserver = "mail.example.org"\nsender = "fax@example.org"\n'


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "vfax.toml"


def rules(toml: Path, content: str) -> tuple[Rule, ...]:
    toml.write_text(content, "utf-8")
    return tuple(serving.delivery_plan(load(toml, environ={})).rules)


def refused(toml: Path, content: str) -> str:
    toml.write_text(content, "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(toml, environ={})
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{toml}: ")
    return said.removeprefix(f"{toml}: ")


def table(kind: str, *lines: str, name: str = "a") -> str:
    return "\n".join(["[[route]]", f'name = "{name}"', f'kind = "{kind}"', *lines, ""])


def test_without_rules_there_are_none() -> None:
    assert serving.delivery_plan(Settings()).rules == ()


def test_a_rule_of_each_kind_becomes_what_it_says(toml: Path) -> None:
    content = MAIL + "".join(
        (
            table("folder", 'folder = "/srv/faxes"', 'format = "pdf"', "record = false", "hard_link = true", name="a"),
            table("mail", 'to = "x@example.org"', 'subject = "s"', 'text = "t {caller}"', "stop = true", name="b"),
            table("webhook", 'url = "https://x"', 'body = "json"', 'secret = "s"', 'ca_file = "/ca"', name="c"),
            table("command", 'command = ["take", "{document}"]', 'dialled = "+49*"', 'device = ["1", "2"]', name="d"),
        )
    )
    assert rules(toml, content) == (
        Rule(name="a", target=FolderTarget(folder="/srv/faxes", form=Format.PDF, record=False, hard_link=True)),
        Rule(name="b", target=MailTarget(to=("x@example.org",), subject="s", body="t {caller}"), stop=True),
        Rule(name="c", target=WebhookTarget(url="https://x", body=Body.JSON, secret="s", ca_file="/ca")),
        Rule(name="d", target=CommandTarget(command=("take", "{document}")), dialled=("+49*",), device=("1", "2")),
    )


def test_the_example_of_the_documentation_is_read(toml: Path) -> None:
    found = rules(toml, DOCS.partition("```toml\n")[2].partition("```")[0])
    assert [(rule.name, rule.kind, rule.stop) for rule in found] == [
        ("berlin", "mail", True),
        ("archive", "folder", False),
        ("filing", "webhook", False),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(key for key in RouteSettings.model_fields),
        *(key for key in MailSettings.model_fields),
        *(key for key in DeliverySettings.model_fields),
    ],
)
def test_every_setting_is_in_the_documentation(name: str) -> None:
    assert f"`{name}`" in DOCS


def test_defaults_in_the_documentation_are_those_of_the_program() -> None:
    rows = [line.split("|") for line in DOCS.splitlines() if line.startswith("| `")]
    told = {cells[1].strip(): cells[2].strip() for cells in rows if len(cells) > 4}
    for section in (MailSettings(), DeliverySettings()):
        for key in type(section).model_fields:
            (keys,) = [keys for keys in told if f"`{key}`" in keys]
            values = [value.strip().strip("`") for value in told[keys].split(",")]
            value = str(getattr(section, key)) or '""'
            assert value in [text.strip('"') or '""' for text in values], key


def test_the_password_comes_from_the_environment() -> None:
    environ = {"VFAX_MAIL__SERVER": "localhost", "VFAX_MAIL__PASSWORD": "s3", "VFAX_MAIL__SECURITY": "tls"}
    server = serving.delivery_plan(load(environ=environ)).mail
    assert server == MailServer(server="localhost", password="s3", security=Security.TLS)
    assert "s3" not in repr(server)
    assert "s3" not in repr(load(environ=environ))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[route]\nname = "a"', "route: expected tables, each written [[route]]"),
        ("route = 3", "route: expected tables, each written [[route]]"),
        ('[[rout]]\nname = "a"', "[rout]: unknown section; did you mean route?"),
        (table("folder", 'calle = "1"'), "[[route]] 1 (a) calle: unknown key; did you mean caller?"),
        (table("folder") + table("folder", "x = 1", name="b"), "[[route]] 2 (b) x: unknown key; keys here are name,"),
        ('[[route]]\nkind = "folder"', "[[route]] 1 has no name: every rule needs one"),
        ('[[route]]\nname = "a"', "[[route]] 1 (a) has no kind: every rule needs one"),
        (table("fax"), "[[route]] 1 (a) kind = \"fax\": expected 'folder', 'mail', 'webhook' or 'command'"),
        (table("folder", name="a b"), '[[route]] 1 (a b) name = "a b": expected a name of at most 64 letters'),
        (table("folder") + table("folder"), "two rules [[route]] are named a: give each a name of its own"),
        (table("folder", 'caller = "+49*30"'), "a star stands at the end"),
        (table("folder", "caller = []"), "[[route]] 1 (a) caller = []: expected at least one pattern"),
        (table("folder", "stop = 1"), "[[route]] 1 (a) stop = 1: expected a valid boolean"),
        (table("folder", 'format = "png"'), "[[route]] 1 (a) format = \"png\": expected '', 'tiff' or 'pdf'"),
        # folder
        (table("folder", 'folder = ""'), "[[route]] 1 (a): folder names no folder: give one"),
        (table("folder", 'folder = "../x"'), "folder = '../x' leaves the spool folder: give a full path"),
        (table("folder", 'folder = "x/../../y"'), "leaves the spool folder"),
        (table("folder", 'folder = "."'), "leaves the spool folder"),
        (table("folder", 'folder = "inbox/x"'), "folder = 'inbox/x' is where vfax keeps its own files"),
        (table("folder", 'folder = ".lock"'), "is where vfax keeps its own files"),
        (
            '[host]\nspool = "/var/spool/vfax"\n' + table("folder", 'folder = "/var/spool/vfax/inbox"'),
            "the rule a has folder = '/var/spool/vfax/inbox', where vfax keeps its own files",
        ),
        (table("folder", 'to = "x@example.org"'), 'to goes with kind = "mail", and this rule has kind = "folder"'),
        (table("mail", 'to = "x@example.org"', 'url = "https://x"'), 'url goes with kind = "webhook"'),
        # mail
        (MAIL + table("mail"), "[[route]] 1 (a): a mail needs recipients"),
        (table("mail", 'to = "x@example.org"'), "the rule a sends mail: give a server and a sender in [mail]"),
        (
            '[mail]\nserver = "x"\n' + table("mail", 'to = "x@example.org"'),
            "the rule a sends mail: give a server and a sender in [mail]",
        ),
        (MAIL + table("mail", 'to = ["x@example.org\\nBcc: y@example.org"]'), "expected a mail address, such as"),
        (MAIL + table("mail", 'to = "X <x@example.org>"'), "expected a mail address"),
        (
            MAIL + table("mail", 'to = "x@example.org"', 'subject = "{callr}"'),
            '[[route]] 1 (a) subject = "{callr}": there is no field {callr}; did you mean {caller}?',
        ),
        ('[mail]\nsender = "me"', '[mail] sender = "me": expected a mail address'),
        (
            '[mail]\nserver = "mail.example.org"\nsecurity = "none"\nuser = "u"',
            "[mail] user = 'u' with security = \"none\" would send the password in the clear to mail.example.org",
        ),
        ("[mail]\npassword = 3", "[mail] password = ...: expected a valid string"),
        # webhook
        (table("webhook"), "[[route]] 1 (a): a webhook needs an address"),
        (table("webhook", 'url = "ftp://x"'), "url: expected an address of the web in ASCII"),
        (table("webhook", 'url = "https://"'), "url: expected an address of the web"),
        (table("webhook", 'url = "https://x:port"'), "url is no address"),
        (table("webhook", 'url = "https://x\\ny"'), "url: expected an address of the web"),
        (table("webhook", 'url = "https://a b"'), "url: expected an address of the web"),
        (table("webhook", 'url = "https://u:p@x"'), "url has a user or a password in it"),
        (
            table("webhook", 'url = "http://example.org/x"'),
            "url = http://example.org lets faxes leave this machine without TLS: use https://, or allow_http = true",
        ),
        (table("webhook", 'url = "https://x"', 'secret = "a"', 'secret_file = "b"'), "are both given: keep one"),
        (table("webhook", 'url = "https://x"', "secret = 3"), "[[route]] 1 (a) secret = ...: expected a valid string"),
        # command
        (table("command"), "[[route]] 1 (a): a command needs a program"),
        (table("command", "command = []"), "a command needs a program"),
        (table("command", 'command = [" "]'), "a command needs a program"),
        (table("command", 'command = ["./take"]'), "command begins with './take': give its full path"),
        (table("command", 'command = ["take", "{caller}"]'), "{caller} cannot be an argument, for the caller might"),
        (table("command", 'command = ["take", "a\\u0000"]'), "expected arguments without a NUL"),
        (table("command", 'command = "take {document}"'), "[[route]] 1 (a) command = "),
        # delivery
        ('[delivery]\nlink = "https://x/"', "expected an address with the number of the fax"),
        ('[delivery]\nlink = "{job}"', "link: expected an address of the web"),
        ("[delivery]\nconcurrency = 0", "[delivery] concurrency = 0: expected greater than or equal to 1"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_one_sentence(toml: Path, content: str, expected: str) -> None:
    assert expected in refused(toml, content)


@pytest.mark.parametrize(
    "content",
    [
        table("webhook", 'url = "http://127.0.0.1:8080/x"'),
        table("webhook", 'url = "http://[::1]:8080/x"'),
        table("webhook", 'url = "http://localhost/x"'),
        table("webhook", 'url = "http://filing.internal/x"', "allow_http = true"),
        table("folder", 'caller = ["", "+49*"]'),
        table("command", 'command = ["/opt/take", "{document}", "{other}", "{}"]'),
        '[mail]\nserver = "localhost"\nsecurity = "none"\nuser = "u"\nsender = "f@example.org"\n',
    ],
)
def test_what_can_be_meant_is_taken(toml: Path, content: str) -> None:
    rules(toml, content)


def test_rules_do_not_come_from_the_environment() -> None:
    with pytest.raises(SettingsError, match=r"environment: rules for received faxes are written in the settings file"):
        load(environ={"VFAX_ROUTE__NAME": "x"})
