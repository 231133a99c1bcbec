"""Providers that installed packages bring along: the entry-point group `vfax.providers`.

Owns      from an entry point to a registration record.
Not here  records from settings (settings/), loading (loading.py).

An entry point names a function as `image_name` of a record does: it is called with a configuration, here an empty one,
and returns the provider. Its GUID follows from the names of the package and the entry, so it stays the same.
"""

import uuid
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from vfax.fsp.provider import Registration, register

GROUP: Final = "vfax.providers"
NAMESPACE: Final = uuid.UUID("0d9b7a52-6f0e-4d55-9a5c-5e1c8a1f3c57")
"""Namespace of the GUIDs (RFC 9562, version 5)."""


def installed(taken: Collection[str] = (), *, entries: Iterable[EntryPoint] | None = None) -> list[Registration]:
    """The registrations of installed packages, by name; those whose image name is `taken` are left out.

    `entries` are those of the running interpreter unless given.
    """
    given = entry_points(group=GROUP) if entries is None else entries
    found = {(entry.name, entry.value): entry for entry in given}
    records = [_record(entry) for _, entry in sorted(found.items())]
    return [record for record in records if record.image_name not in taken]


def _record(entry: EntryPoint) -> Registration:
    image, _, _ = entry.value.partition("[")
    package = entry.dist.name if entry.dist is not None else ""
    version = f" {entry.dist.version}" if entry.dist is not None else ""
    return register(
        guid=f"{{{uuid.uuid5(NAMESPACE, f'{package}:{entry.name}')}}}".upper(),
        friendly_name=f"{entry.name} ({package}{version})" if package else entry.name,
        image_name=image.strip(),
    )
