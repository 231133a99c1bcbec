"""`vfax provider check`: a provider, its stimulus and the rules by name, and what came of each rule.

Owns      finding provider and stimulus, what is shown, the exit code. Not here: the rules (fsp/conformance/).
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from rich.console import Console
from rich.text import Text

from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.screen import printable, say
from vfax.errors import SettingsError
from vfax.fsp.conformance import RULES, Result, Rule, Subject, Verdict, check_all
from vfax.settings import Settings, wiring

STYLES: Final = {Verdict.PASSED: "green", Verdict.FAILED: "bold red", Verdict.NOT_CHECKED: "yellow"}


def check(settings: Settings, *, provider: str, stimulus: str, only: Iterable[str] | None, as_json: bool) -> int:
    """Check `provider` (that of the settings where it is empty) and show it. Raises SettingsError."""
    record = wiring.registration(_on_any_port(settings))
    subject = Subject(
        provider=_find("MODULE:ATTR", provider or record.image_name),
        stimulus=_find("--stimulus", stimulus) if stimulus else None,
        configuration=record.configuration,
    )
    return run(subject, _chosen(only), as_json=as_json)


def run(subject: Subject, rules: Sequence[Rule], *, as_json: bool) -> int:
    """Check and show, one rule after the other; returns the exit code."""
    console = out()
    results: list[Result] = []
    for result in check_all(subject, rules):
        results.append(result)
        if not as_json:
            _show(console, result)
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    code = exits.INTERNAL if counts[Verdict.FAILED] else exits.OK
    if as_json:
        print_json({"ok": code == exits.OK, "exit": code, "checks": [_row(result) for result in results]})
    else:
        say(console, ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items()) + ".")
    return code


def _on_any_port(settings: Settings) -> Settings:
    """Each check has a provider of its own, and somebody may be listening where the settings say."""
    host = settings.sip.listen.rpartition(":")[0]
    sip = settings.sip.model_copy(update={"listen": f"{host}:0", "listen_also": ()})
    return settings.model_copy(update={"sip": sip})


def _find(what: str, name: str) -> Callable[..., object]:
    """The function `name` means. Raises SettingsError."""
    module, _, attribute = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as why:
        raise SettingsError(f"command line: {what} {name}: expected package.module:attribute ({why})") from why
    if not callable(found):
        raise SettingsError(f"command line: {what} {name}: expected a function that makes one, not {found!r:.60}")
    return cast("Callable[..., object]", found)


def _chosen(names: Iterable[str] | None) -> Sequence[Rule]:
    known = {rule.name: rule for rule in RULES}
    if not names:
        return RULES
    for name in names:
        if name not in known:
            raise SettingsError(f"command line: --only {name}: there is no such rule; vfax provider check names them")
    return [known[name] for name in known if name in set(names)]


def _row(result: Result) -> dict[str, object]:
    rule = result.rule
    return {
        "rule": rule.name,
        "verdict": result.verdict.value,
        "why": result.why,
        "sentence": rule.sentence,
        "source": rule.source,
        "mark": rule.mark.value,
        "needs": [need.value for need in rule.needs],
    }


def _show(console: Console, result: Result) -> None:
    """One line; what failed brings the sentence that does not hold. A provider's own words are shown as text."""
    rule = result.rule
    line = Text(f"{result.verdict.value:<13}", STYLES[result.verdict]).append(rule.name, "bold")
    if result.why:
        line.append(f": {printable(result.why)}", "")
    console.print(line)
    if result.verdict is Verdict.FAILED:
        console.print(Text(f"{'':<13}{rule.sentence} ({rule.source}; {rule.mark.value})"))
