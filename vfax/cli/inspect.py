"""`vfax inspect`: what a fax document holds, page by page.

Owns      the table. Not here: reading and judging TIFF (codecs/tiff.py).
"""

import json
from pathlib import Path
from typing import Final

from rich.table import Table

from vfax.cli.common import out, print_json
from vfax.cli.screen import printable, say
from vfax.codecs import tiff

MAX_RECORD: Final = 1 << 16
"""Limit: octets of a record that are read."""


def inspect(path: Path, *, as_json: bool) -> None:
    """Print the facts of a TIFF file and what about it is not Class F. Raises DocumentError."""
    report = tiff.inspect(path)
    encrypted = _came_encrypted(path)
    if as_json:
        print_json(_facts(report) | {"encrypted": encrypted})
        return
    console = out()
    pages = len(report.pages)
    say(console, f"{path}: {pages} page{'' if pages == 1 else 's'}, {report.octets} octets")
    table = Table(box=None, header_style="bold")
    for heading in ("page", "width", "rows", "dpi", "coding", "bad rows"):
        table.add_column(heading, justify="right")
    for number, page in enumerate(report.pages, 1):
        header = page.header
        dpi = f"{header.x_dpi:g} x {header.y_dpi:g}"
        bad = str(page.decoded_bad_rows) if page.decoded_rows is not None else "?"
        table.add_row(str(number), str(header.width_px), str(header.rows), dpi, printable(page.header.compression), bad)
    console.print(table)
    for finding in report.findings:
        say(console, finding)
    say(console, "It is a TIFF Class F document." if report.class_f else "It is not quite TIFF Class F, see above.")
    if encrypted is not None:
        how = "encrypted (DTLS)" if encrypted else "without encryption"
        say(console, f"It was received {how}, says the record beside it.")


def _came_encrypted(path: Path) -> bool | None:
    """What the record of a received fax says, which the spool keeps beside its document; None without one."""
    try:
        with path.with_suffix(".json").open("rb") as file:
            record = json.loads(file.read(MAX_RECORD))
    except (OSError, ValueError, RecursionError):
        return None
    said = record.get("encrypted") if isinstance(record, dict) else None
    return said if isinstance(said, bool) else None


def _facts(report: tiff.DocumentReport) -> dict[str, object]:
    return {
        "path": str(report.path),
        "octets": report.octets,
        "class_f": report.class_f,
        "findings": list(report.findings),
        "pages": [
            {
                "width": page.header.width_px,
                "rows": page.header.rows,
                "x_dpi": page.header.x_dpi,
                "y_dpi": page.header.y_dpi,
                "coding": page.header.compression,
                "decoded_rows": page.decoded_rows,
                "bad_rows": page.decoded_bad_rows,
            }
            for page in report.pages
        ],
    }
