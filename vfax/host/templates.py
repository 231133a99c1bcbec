"""Texts of deliveries with fields in braces, as the settings have them.

Owns      the names of the fields, filling them in, refusing others. Not here: what a fax has for each (parcel.py).
"""

import difflib
import re
from collections.abc import Mapping
from typing import Final

MAX_FIELD: Final = 200
"""Limit: characters of one field in a template."""
FIELDS: Final = (
    "caller",
    "caller_name",
    "remote_id",
    "dialled",
    "subaddress",
    "device",
    "job",
    "pages",
    "received",
    "state",
    "sentence",
    "rule",
    "link",
)
"""What a template may name: `{caller}`; docs/delivery.md says what each of them is."""
_FIELD: Final = re.compile(r"\{([^{}]*)\}")


def one_line(text: str, limit: int = MAX_FIELD) -> str:
    """The text with everything that is not printable replaced by spaces, cut to `limit`."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:limit]).strip()


def fill(template: str, fields: Mapping[str, str]) -> str:
    """The template with `{name}` replaced by its value, once: braces in a value stay what they are."""
    return _FIELD.sub(lambda found: fields.get(found[1], found[0]), template)


def check_template(template: str, known: tuple[str, ...] = FIELDS) -> str:
    """The template itself. Raises ValueError naming a field that there is not."""
    for name in _FIELD.findall(template):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {{{close[0]}}}?" if close else f"fields are {', '.join(known)}"
            raise ValueError(f"there is no field {{{name}}}; {hint}")
    return template
