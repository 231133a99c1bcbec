"""Whatever stands in the settings file: it is taken, or refused in one line that says which key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from vfax.errors import SettingsError
from vfax.settings import Settings, load, serving, wiring
from vfax.settings.routes import RouteSettings
from vfax.settings.section import Section
from vfax.settings.trunks import TrunkSettings

ODD: Final = ("true", "-1", "1e308", '"a\\r\\nb\\u2028c"', f'"{"x" * 3_000}"', "[[]]")
"""Of each kind of key one is wrong at least."""
LONGEST: Final = 700


def sections() -> Iterator[tuple[str, type[Section]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


TRUNK: Final = {"name": '"office"', "gateways": '["192.0.2.1"]', "user": '"7"'}
ROUTE: Final = {"name": '"a"', "kind": '"folder"'}
TABLES: Final[dict[str, tuple[type[Section], dict[str, str]]]] = {
    **{f"[{name}]": (section, {}) for name, section in sections()},
    "[[trunk]]": (TrunkSettings, TRUNK),
    "[[route]]": (RouteSettings, ROUTE),
}


def refusal(file: Path, text: str) -> str:
    """Why this file is refused; "" where it is taken."""
    file.write_text(text, encoding="utf-8")
    try:
        settings = load(file, environ={})
        wiring.endpoint_options(settings)
        serving.server_options(settings)
    except SettingsError as why:
        return str(why).removeprefix(f"{file}: ")
    return ""


def is_one_line(said: str) -> bool:
    return said.isprintable() and len(said) < LONGEST


@pytest.mark.parametrize("table", TABLES)
def test_every_key_that_is_wrong_is_refused_in_one_line(table: str, tmp_path: Path) -> None:
    section, base = TABLES[table]
    for key in section.model_fields:
        refused = 0
        for odd in ODD:
            keys = {**base, key: odd}
            said = refusal(tmp_path / "vfax.toml", f"{table}\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()))
            assert is_one_line(said) or not said, said
            assert key in said or "password" in said or not said, (key, odd, said)
            refused += bool(said)
        assert refused, f"{table} {key} takes anything"


@pytest.mark.parametrize(
    "text",
    [
        '[[trunk]]\nname = "a\\nb"\ngateways = "192.0.2.1"\n',
        '[[trunk]]\nname = "office"\n"a\\nb" = 1\n',
        '[[route]]\nname = "a\\nb"\nkind = "none"\n',
        '[sip]\n"a\\nb" = 1\n',
        '["a\\nb"]\nlisten = "127.0.0.1:0"\n',
        '"a\\nb" = 1\n',
    ],
)
def test_names_that_are_wrong_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    said = refusal(tmp_path / "vfax.toml", text)
    assert said.isprintable()
    assert "a\\nb" in said
