"""What providers tell of their trunks and peers: asked of all of them, and looked at before it goes on.

Owns      the extension exports VfaxDevReportTrunks, VfaxDevReportPeers and VfaxDevForgetPeers as the host uses them.
Not here  what a row holds (vfax/trunks, vfax/learning), who may ask (api/routes.py).

A provider is foreign code: its rows are bounded, and nothing that is no JSON passes. One that cannot be asked just now
tells nothing; that it is out of service is shown elsewhere.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from vfax.fsp.errors import FaxServiceError
from vfax.host.loading import HostedProvider

MAX_ROWS: Final = 2_000
"""Limit: rows of one provider that are shown."""
MAX_OCTETS: Final = 1 << 20
"""Limit: what they may come to, as JSON."""

Rows = list[Mapping[str, object]]


async def trunks(providers: Iterable[HostedProvider]) -> Rows:
    """How the trunks of all providers fare; each row names its provider."""
    return await _collected(providers, "VfaxDevReportTrunks")


async def peers(providers: Iterable[HostedProvider]) -> Rows:
    """What all providers have learned of peers."""
    return await _collected(providers, "VfaxDevReportPeers")


async def forget_peers(providers: Iterable[HostedProvider], peer: str, number: str) -> int:
    """Have all providers forget; how many entries that were. Raises FaxServiceError when one of them cannot."""
    forgotten = 0
    for provider in providers:
        forget = provider.exports.VfaxDevForgetPeers if provider.exports is not None else None
        if forget is not None and provider.usable:
            told: object = await provider.guard.ask(forget, peer, number)
            forgotten += told if isinstance(told, int) and not isinstance(told, bool) and told > 0 else 0
    return forgotten


async def _collected(providers: Iterable[HostedProvider], name: str) -> Rows:
    found: Rows = []
    for provider in providers:
        report: Callable[[], Awaitable[object]] | None = getattr(provider.exports, name, None)
        if report is None or not provider.usable:
            continue
        with suppress(FaxServiceError):
            rows = checked(await provider.guard.ask(report))
            if rows is None:
                raise provider.guard.fault(name, f"it answered what is no list of at most {MAX_ROWS} objects of JSON")
            found += [{**row, "provider": provider.record.friendly_name} for row in rows]
    return found


def checked(told: object) -> Rows | None:
    """The rows, as JSON would give them back; None for what is none."""
    if not isinstance(told, Sequence) or isinstance(told, str | bytes) or len(told) > MAX_ROWS:
        return None
    try:
        text = json.dumps(list(told), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    rows: Rows = json.loads(text)
    return rows if len(text) <= MAX_OCTETS and all(isinstance(row, dict) for row in rows) else None
