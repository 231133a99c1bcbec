"""Which room may import which, and what the pure rooms must not know: read from the sources of the package."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

import vfax

ROOT: Final = Path(vfax.__file__).parent

BASE: Final = {"errors", "outcome", "signals"}
MAY_IMPORT: Final[dict[str, set[str]]] = {
    "__init__": set(),
    "errors": set(),
    "outcome": set(),
    "signals": set(),
    "codecs": BASE,
    "transports": BASE | {"codecs"},
    "t30": BASE | {"codecs"},
    "fsp": {"errors", "outcome"},
    "fsp/conformance": {"fsp"},  # drives a provider with threads and a trio run: no part of the contract
    "course": BASE | {"t30", "leg_values"},
    "verdict": BASE | {"transports", "course", "verdict_table"},
    "verdict_table": BASE | {"course", "transports"},
    "journal": BASE,
    "plain": BASE,
    "record": BASE | {"codecs", "transports", "t30", "leg", "journal", "plain", "verdict"},
    "replay": BASE | {"transports", "t30", "leg_media", "leg_values"},
    "recordings": BASE | {"codecs", "transports", "t30", "leg_values", "journal", "plain", "record", "replay"},
    "pcap": BASE | {"transports"},
    "captures": BASE | {"codecs", "transports", "t30", "leg_values", "pcap", "recordings", "replay"},
    "timeline": BASE | {"codecs", "transports", "journal"},
    "redact": BASE | {"transports", "journal", "pcap", "captures", "record"},
    "capture": BASE | {"pcap", "transports", "journal"},
    "disk": set(),
    "pages": BASE | {"disk"},
    "call": BASE,
    "ports": {"fsp", "errors"},
    "leg_values": BASE | {"transports", "t30"},
    "trunks": BASE | {"transports", "leg_values"},
    "leg_lock": {"transports"},
    "leg_media": BASE | {"transports", "t30", "leg_values", "leg_lock"},
    "leg_core": BASE | {"transports", "t30", "verdict", "leg_values", "leg_media", "course"},
    "leg_switch": BASE | {"transports", "leg_values", "leg_core"},
    "leg": BASE | {"transports", "t30", "verdict", "leg_values", "leg_core", "leg_switch"},
    "sheets": BASE | {"codecs", "transports", "t30", "call"},
    "runner": BASE
    | {
        "sheets",
        "course",
        "codecs",
        "transports",
        "t30",
        "leg",
        "call",
        "journal",
        "pages",
        "record",
        "capture",
    },
    "calls": BASE
    | {
        "switchboard",
        "trunks",
        "carried",
        "sheets",
        "codecs",
        "transports",
        "t30",
        "leg",
        "call",
        "pages",
        "resolving",
        "runner",
        "record",
    },
    "carried": BASE
    | {
        "learned",
        "learning",
        "switchboard",
        "trunks",
        "codecs",
        "course",
        "transports",
        "t30",
        "leg",
        "journal",
        "pages",
        "disk",
        "verdict",
        "resolving",
        "runner",
        "record",
        "capture",
    },
    "learning": BASE | {"leg", "transports"},
    "learned": BASE | {"disk", "plain", "learning"},
    "switchboard": BASE | {"transports", "trunks", "leg", "resolving", "tending"},
    "resolving": BASE | {"transports"},
    "abuse": BASE | {"transports", "trunks"},
    "sockets": BASE | {"transports"},
    "lookups": BASE | {"transports", "resolving"},
    "tending": BASE | {"transports"},
    "stun_desk": BASE | {"transports", "resolving", "sockets"},
    "nat": BASE | {"transports", "resolving", "sockets", "stun_desk", "trunks"},
    "endpoint_options": BASE
    | {"capture", "disk", "learning", "leg", "nat", "record", "resolving", "sockets", "transports", "trunks"},
    "media_desk": BASE | {"endpoint_options", "transports", "leg", "nat", "securing", "sockets", "trunks"},
    "call_table": BASE | {"call", "calls", "carried", "transports"},
    "inquiries": BASE | {"transports"},
    "endpoint": BASE
    | {
        "abuse",
        "call_table",
        "inquiries",
        "endpoint_options",
        "media_desk",
        "transports",
        "switchboard",
        "learned",
        "leg",
        "lookups",
        "call",
        "calls",
        "carried",
        "disk",
        "nat",
        "plain",
        "resolving",
        "record",
        "securing",
        "sockets",
        "capture",
        "tending",
    },
    "trunk_check": BASE
    | {"transports", "trunks", "leg", "pages", "call", "calls", "endpoint", "resolving", "sockets", "verdict_table"},
    "securing": BASE | {"transports", "leg_values"},
    "simulation": BASE | {"codecs", "transports", "t30", "leg", "simulate", "journal", "record"},
    "simulate": BASE | {"codecs", "transports", "t30", "leg"},
    # the device sees a network, never a host; the host sees the contract, never a device
    "device": BASE | {"fsp", "call", "endpoint", "verdict"},
    "stimulus": BASE | {"call", "device", "endpoint", "fsp/conformance", "leg", "transports"},
    "host": BASE | {"fsp", "codecs", "ports", "pages", "disk"},
    # a client sees the contract and the wire, never the host
    "client": BASE | {"fsp"},
    "settings": BASE
    | {
        "learning",
        "codecs",
        "transports",
        "trunks",
        "t30",
        "leg",
        "endpoint",
        "nat",
        "resolving",
        "fsp",
        "device",
        "host",
        "record",
        "capture",
        "sockets",
    },
    "cli": BASE
    | {
        "client",
        "t30",
        "codecs",
        "fsp",
        "fsp/conformance",
        "host",
        "settings",
        "simulate",
        "simulation",
        "verdict",
        "journal",
        "__init__",
        "replay",
        "recordings",
        "captures",
        "redact",
        "timeline",
        "verdict_table",
        "leg",
        "call",
        "calls",
        "endpoint",
        "pages",
        "learning",
        "plain",
        "trunks",
        "trunk_check",
    },
    "__main__": {"cli"},
}
PURE: Final = (
    "codecs/",
    "t30/",
    "fsp/constants.py",
    "fsp/structures.py",
    "fsp/encoding.py",
    "fsp/extension.py",
    "host/event_table.py",
    "host/idleness.py",
    "host/api/multipart.py",
    "host/api/identity.py",
    "host/notify.py",
    "host/routing.py",
    "transports/sip/",
    "transports/udptl.py",
    "transports/t38",
    "transports/tpkt.py",
    "transports/dtls_record.py",
    "transports/rtp.py",
    "transports/stun",
    "transports/simnet.py",
    "transports/erase.py",
    "transports/parameters.py",
    "trunks/",
    "leg",
    "learning.py",
    "course.py",
    "verdict",
    "signals.py",
    "outcome.py",
    "errors.py",
)
WORLD: Final = {"trio", "socket", "time", "asyncio", "threading", "random", "os", "pathlib", "logging", "datetime"}
# The only importers of Pillow.
PILLOW_AT: Final = {
    "codecs/tiff.py",
    "codecs/libtiff.py",
    "codecs/scaling.py",
    "codecs/header_line.py",
    "codecs/pictures.py",
    "codecs/pdf_reading.py",
}
# They read and write files; PDFium is not thread safe, and a lock holds its calls.
KNOWN_WORLD: Final = {
    "codecs/tiff.py": {"os", "pathlib"},
    "codecs/pictures.py": {"pathlib"},
    "codecs/pdf_reading.py": {"pathlib", "threading"},
}

INNER_ROOMS: Final = ("fsp/conformance",)
# The only importers of a database: the job store, not the values that go through it.
DATABASE_AT: Final = "host/store/"
DATABASE: Final = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
NO_DATABASE_AT: Final = {"host/store/values.py", "host/store/limits.py", "host/store/transitions.py"}

SOURCES: Final = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imports(source: str) -> set[str]:
    """Every module named in an import anywhere in `source`, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: str) -> str:
    inner = next((name for name in INNER_ROOMS if path.startswith(f"{name}/")), None)
    return inner or path.split("/", maxsplit=1)[0].removesuffix(".py")


def rooms_of(modules: set[str]) -> set[str]:
    named = {
        room(module.removeprefix("vfax.").replace(".", "/") + "/") for module in modules if module.startswith("vfax.")
    }
    known = {room(path) for path in SOURCES}
    return named & known


def test_every_source_file_was_found() -> None:
    assert "leg.py" in SOURCES
    assert len(SOURCES) > 30


@cache
def imported(path: str) -> frozenset[str]:
    """All modules that a source file imports."""
    return frozenset(imports((ROOT / path).read_text("utf-8")))


def known(path: str) -> set[str]:
    """The packages among them, by their first names."""
    return {module.split(".")[0] for module in imported(path)}


def wrong(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """What modules should not know, without those that know nothing of it."""
    return {path: names for path, names in found.items() if names}


def test_imports_point_one_way() -> None:
    here = {path: room(path) for path in SOURCES}
    assert not set(here.values()) - MAY_IMPORT.keys(), "new rooms: say above what they may import"
    foreign = {path: rooms_of(set(imported(path))) - {here[path]} - MAY_IMPORT[here[path]] for path in SOURCES}
    assert wrong(foreign) == {}


def test_pure_modules_know_nothing_of_the_world() -> None:
    pure = [path for path in SOURCES if path.startswith(PURE)]
    assert wrong({path: known(path) & (WORLD - KNOWN_WORLD.get(path, set())) for path in pure}) == {}


def test_the_contract_knows_threads_and_nothing_else_of_the_world() -> None:
    contract = [path for path in SOURCES if room(path) == "fsp"]
    assert wrong({path: known(path) & (WORLD - {"threading"}) for path in contract}) == {}


def test_only_modules_that_work_on_pictures_import_pillow() -> None:
    assert wrong({path: known(path) & {"PIL"} for path in SOURCES if path not in PILLOW_AT}) == {}


def test_only_the_store_knows_a_database() -> None:
    others = [path for path in SOURCES if not path.startswith(DATABASE_AT) or path in NO_DATABASE_AT]
    assert wrong({path: known(path) & DATABASE for path in others}) == {}


def test_the_table_of_rooms_has_no_circle() -> None:
    order: list[str] = []
    waiting = {here: set(others) for here, others in MAY_IMPORT.items()}
    while waiting:
        free = sorted(here for here, others in waiting.items() if not others & waiting.keys())
        assert free, f"a circle among {sorted(waiting)}"
        order += free
        for here in free:
            del waiting[here]
    assert order.index("codecs") < order.index("transports") < order.index("leg") < order.index("endpoint")
