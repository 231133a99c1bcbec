"""Options and arguments that several commands have.

Owns      their names, types and help. Not here: which command has which (vfax/cli/__init__.py, vfax/cli/clients.py).
"""

from pathlib import Path
from typing import Annotated, Final

import typer

Config = Annotated[Path | None, typer.Option("--config", help="Settings in TOML; see config/vfax.example.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
NoEcm = Annotated[bool, typer.Option("--no-ecm", help="Do without error correction mode.")]
MaxRate = Annotated[
    int | None, typer.Option("--max-rate", help="Fastest modulation: 2400, 4800, 7200, 9600, 12000 or 14400 bit/s.")
]
Resolution = Annotated[
    str,
    typer.Option("--resolution", metavar="NAME", help="Of PDF pages and images: standard, fine, 300x300."),
]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE", help="PDF, TIFF or any image; several files are one fax.")
]
PLACE: Final = "Path of its socket, or https://HOST:PORT; [clients] socket unless given."
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help=PLACE, show_default=False)]
Service = Annotated[str, typer.Option(metavar="ADDRESS", help=PLACE, show_default=False)]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="File with the token that https:// needs.")
]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What the service's certificate is checked against, PEM.")
]
