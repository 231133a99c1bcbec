"""Settings from files, the environment and the command line; one line of refusal; the example file's text.

Owns      the order of sources, the nearest name for an unknown key, TOML as written. Not here: the settings (model.py).
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from vfax.errors import SettingsError
from vfax.settings.model import IN_SECTION, VFAX_IMAGE, Settings
from vfax.settings.routes import RouteSettings
from vfax.settings.section import Section
from vfax.settings.trunks import OVERRIDES, TRUNK, TrunkSettings
from vfax.settings.words import named, shown, table_label, toml_value

ENV_PREFIX: Final = "VFAX_"
ENV_SEPARATOR: Final = "__"
ENVIRONMENT: Final = "environment"
OWN: Final = "provider"
OTHERS: Final = "providers"
ROUTE: Final = "route"
LISTS: Final[dict[str, tuple[type[Section], tuple[str, ...], str]]] = {
    ROUTE: (RouteSettings, ("name", "kind"), "rules for received faxes"),
    TRUNK: (TrunkSettings, ("name",), "trunks"),
}
"""Lists of tables, which come from the file alone: the tables, what each has to have, what they are."""
SECRETS: Final = frozenset({"password", "inbound_password", "secret"})
"""Keys whose values no message shows."""
MAX_FILE_OCTETS: Final = 1 << 20
"""Limit: a settings file is small; a larger one is another file by mistake."""


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
        tables = _read_file(path)
        if others := _take_others(tables, file_name):
            merged[OTHERS] = others
        for kind in LISTS:
            merged[kind] = _known_tables(kind, tables.pop(kind, []), file_name)
        _merge(merged, sources, tables, file_name)
    _merge(merged, sources, _read_environment(os.environ if environ is None else environ), ENVIRONMENT)
    for (section, key), value in (overrides or {}).items():
        _merge(merged, sources, {section: {key: value}}, "command line")
    try:
        return Settings.model_validate(merged)
    except ValidationError as why:
        raise SettingsError(_one_sentence(why, sources, file_name, merged)) from None


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
        if name == OWN and isinstance(table, list) and all(isinstance(entry, dict) for entry in table):
            continue
        if name not in LISTS and not isinstance(table, dict):
            _known_section(name, str(path))
            raise SettingsError(f"{path}: {named(name)} = {_shown(table)}: expected a table, written [{named(name)}]")
    return tables


def _take_others(tables: dict[str, Any], source: str) -> list[dict[str, Any]]:
    """Where a file lists providers, leave the device of vfax in its place and return the others."""
    listed = tables.get(OWN)
    if not isinstance(listed, list):
        return []
    del tables[OWN]
    others = []
    for at, entry in enumerate(listed, 1):
        for key in entry:
            _known_key(OWN, key, source, f"[[{OWN}]] {at}: {key}")
        if entry.get("image_name", VFAX_IMAGE) != VFAX_IMAGE:
            others.append(entry)
        elif OWN in tables:
            raise SettingsError(f"{source}: [[{OWN}]] {at}: this is {VFAX_IMAGE} again; another has an image_name")
        else:
            tables[OWN] = entry
    return others


def _read_environment(environ: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Collect VFAX_SECTION__KEY; VFAX_SECTION_KEY and VFAX_KEY, the usual slips, are refused: neither passes unseen."""
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
    """Refuse what can only be meant for us: a section with a key, or a key alone. VFAX_HOME may be somebody else's."""
    section, _, key = words.partition("_")
    homes = [home for home, model in _sections().items() if words in model.model_fields]
    if _field(section, key) is not None:
        homes, words = [section], key
    elif section in _sections() and key:
        raise SettingsError(
            f"{ENVIRONMENT}: {name}: unknown name; {_nearest(key, _sections()[section].model_fields, 'keys here are')} "
            f"(written {_label(section, 'KEY', ENVIRONMENT)})"
        )
    if homes:
        meant = " or ".join(_label(home, words, ENVIRONMENT) for home in homes)
        raise SettingsError(f"{ENVIRONMENT}: {name}: unknown name; did you mean {meant} (two underscores)?")


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


def _known_tables(kind: str, tables: object, source: str) -> list[dict[str, object]]:
    """The tables [[route]] or [[trunk]], each with known keys alone."""
    model, needed, _ = LISTS[kind]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"{source}: {kind}: expected tables, each written [[{kind}]]")
    for at, table in enumerate(tables):
        for key in table:
            if key not in model.model_fields:
                hint = _nearest(key, model.model_fields, "keys here are")
                raise SettingsError(f"{source}: {_table_label(kind, table, at)} {named(key)}: unknown key; {hint}")
        for key in needed:
            if key not in table:
                noun = "rule" if kind == ROUTE else kind
                raise SettingsError(f"{source}: {_table_label(kind, table, at)} has no {key}: every {noun} needs one")
    return tables


def _table_label(kind: str, table: object, at: int) -> str:
    name = table.get("name") if isinstance(table, dict) else getattr(table, "name", None)
    return table_label(kind, name, at)


# --- saying what is wrong --------------------------------------------------------------------------


def _sections() -> dict[str, type[Section]]:
    found: dict[str, type[Section]] = {}
    for name, field in Settings.model_fields.items():
        if name == OTHERS or name in LISTS:  # lists of what is a section of its own
            continue
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        found[name] = field.annotation
    return found


def _field(section: str, key: str) -> FieldInfo | None:
    model = _sections().get(section)
    return model.model_fields.get(key) if model is not None else None


def _known_section(name: str, source: str) -> None:
    known = _sections()
    if name in LISTS:
        raise SettingsError(f"{source}: {LISTS[name][2]} are written in the settings file, as [[{name}]]")
    if name not in known:
        label = _label(name, "", source)
        raise SettingsError(f"{source}: {label}: unknown section; {_nearest(name, [*known, *LISTS], 'sections are')}")


def _known_key(section: str, key: str, source: str, label: str = "") -> None:
    known = _sections()[section].model_fields
    if key in known:
        return
    elsewhere = [name for name, model in _sections().items() if key in model.model_fields]
    if elsewhere:
        hint = f"did you mean {' or '.join(f'[{name}]' for name in elsewhere)} {key}?"
    else:
        hint = _nearest(key, known, "keys here are")
    raise SettingsError(f"{source}: {label or _label(section, key, source)}: unknown key; {hint}")


def _nearest(name: str, known: Collection[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(known)}"


def _one_sentence(
    why: ValidationError, sources: Mapping[tuple[str, str], str], file_name: str, merged: Mapping[str, Any]
) -> str:
    first = why.errors(include_url=False)[0]
    words = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    section = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == IN_SECTION:
        first = {**first, "loc": (section := first["ctx"]["section"],)}
    if not section:
        return f"{file_name}: {words}"
    if section in LISTS:
        return f"{file_name}: {_wrong_table(merged[section], first['loc'], first['input'], words)}"
    if len(first["loc"]) < 2:
        given = [source for (named, _), source in sources.items() if named == section]
        return f"{given[-1] if given else file_name}: [{section}] {words}"
    if section == OTHERS:
        return _one_sentence_of_others(first, words, file_name)
    key = str(first["loc"][1])
    source = sources.get((section, key), file_name)
    return f"{source}: {_label(section, key, source)} = {_shown(first['input'], key)}: {words}"


def _wrong_table(tables: Sequence[object], where: tuple[int | str, ...], value: object, words: str) -> str:
    """What is wrong with one table; `where` is its kind, its number, and the key if it is one key's fault."""
    kind = str(where[0])
    if len(where) < 2 or not isinstance(where[1], int):
        return f"[[{kind}]]: {words}"
    label = _table_label(kind, tables[where[1]], where[1])
    return f"{label}: {words}" if len(where) == 2 else f"{label} {where[2]} = {_shown(value, str(where[2]))}: {words}"


def _one_sentence_of_others(first: ErrorDetails, words: str, file_name: str) -> str:
    """Names the entry by its own name, for the list of the file holds others besides."""
    key = str(first["loc"][2]) if len(first["loc"]) > 2 else ""
    if first["type"] == "missing":
        entry = first["input"].get("friendly_name") or first["input"].get("image_name")
        return f"{file_name}: [[{OWN}]] {_shown(entry)}: {key} is missing"
    return f"{file_name}: [[{OWN}]] {key} = {_shown(first['input'])}: {words}"


def _label(section: str, key: str, source: str) -> str:
    """Name a setting as its writer wrote it."""
    if source == ENVIRONMENT:
        return f"{ENV_PREFIX}{section}{ENV_SEPARATOR}{key}".upper()
    return f"[{named(section)}] {named(key)}".rstrip()


def _shown(value: object, key: str = "") -> str:
    if key in SECRETS:
        return "..."
    return shown(value)


# --- writing the example ---------------------------------------------------------------------------


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
    yield from _example_rule()
    yield from _example_trunk(defaults)


def _example_rule() -> Iterator[str]:
    """A rule with every key, commented out: there is none unless somebody writes one."""
    yield ""
    yield f"# {(RouteSettings.__doc__ or '').splitlines()[0]}"
    yield "# Without any, they lie in the inbox alone. This one has every key with its default:"
    yield f"#[[{ROUTE}]]"
    values = RouteSettings(name="example", kind="folder")
    for key, field in RouteSettings.model_fields.items():
        yield f"## {field.description}"
        yield f"#{key} = {toml_value(getattr(values, key))}"


def _example_trunk(defaults: Settings) -> Iterator[str]:
    """A trunk with every key, commented out; keys that stand for another section's have what holds without them."""
    yield ""
    yield f"# {(TrunkSettings.__doc__ or '').splitlines()[0]}"
    yield "# Without any, calls go where their address says. config/trunks/ has some for known makes (docs/trunks.md)."
    yield "# This one has every key with its default, and those of other sections that it can have for itself alone:"
    yield f"#[[{TRUNK}]]"
    values = TrunkSettings(name="example", gateways=("pbx.example.com",))
    for key, field in TrunkSettings.model_fields.items():
        value = getattr(values, key)
        if key in OVERRIDES:
            section, theirs = OVERRIDES[key]
            yield f"## [{section}] {theirs} of this trunk's calls. {field.description}"
            value = getattr(getattr(defaults, section), theirs)
        else:
            yield f"## {field.description}"
        yield f"#{key} = {toml_value(value)}"
