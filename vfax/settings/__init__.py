"""Settings: every number an operator may turn, read from TOML and the environment, refused whole when one is wrong.

Owns      names, defaults, bounds and explanations (model.py, routes.py, words.py), reading and refusing (reading.py),
          and handing each room the options it works with (wiring.py).
Not here  what the values do.

`Settings()` is the defaults and reads nothing. `load` reads a file, then the environment (`VFAX_SECTION__KEY`, written
as in TOML, plain words unquoted), then what the command line says; later ones win. config/vfax.example.toml is
`example_text()`, and a test holds them equal.

pydantic validates; the reading is done here and not by pydantic-settings, because an error must say whether the file
or the environment holds the wrong value, and because making a value object must not depend on the environment.
"""

from vfax.settings.model import Settings
from vfax.settings.reading import example_text, load
from vfax.settings.section import Section
from vfax.settings.words import is_loopback, parse_host_port, parse_listen

__all__ = ["Section", "Settings", "example_text", "is_loopback", "load", "parse_host_port", "parse_listen"]
