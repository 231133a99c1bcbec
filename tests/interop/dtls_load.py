"""Many encrypted faxes at once, beside the same without: `script/interop dtls`.

    python -m tests.interop.dtls_load [--faxes 20] [--pages 2] [--table FILE]

`vfax serve` takes them in a process of its own, an endpoint here sends them, all dialled in the same moment: in turn
with T.38 in the INVITE and by re-INVITE, at first plain and then with `dtls = "required"` at both ends. Prints what was
measured, asserts nothing about time; exit status 1 when a fax is lost, is not what was sent, or was not encrypted.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from tests.interop import documents, serving
from tests.interop.proc import Usage
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.journal import read_journal
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Outcome
from vfax.transports.parameters import Dtls

PATIENCE: Final = 300.0  # seconds for all of them


@dataclass(slots=True)
class Load:
    """One round and what came of it."""

    dtls: Dtls
    faxes: int
    pages: int
    outcomes: list[Outcome] = field(default_factory=list)
    whole: int = 0  # documents in the inbox that are what was sent
    encrypted: int = 0  # and of which the record says so
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    grown_mib: float = 0.0
    handshakes: list[float] = field(default_factory=list)  # seconds from the agreement to the association
    wrong: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether all arrived as they should have."""
        secret = self.faxes if self.dtls is Dtls.REQUIRED else 0
        arrived = sum(outcome.ok for outcome in self.outcomes)
        return arrived == self.whole == self.faxes and self.encrypted == secret and not self.wrong

    async def run(self, folder: Path) -> None:
        """Serve, send all, look at the inbox."""
        pages = documents.draw_pages(self.pages, lines=20)
        document = documents.write_fax(folder / "sent.tif", pages)
        settings = folder / "vfax.toml"
        settings.write_text(f'[media]\ndtls = "{self.dtls}"\n')
        journals = folder / "sent-journal"
        journals.mkdir()
        lines = str(self.faxes * 2)  # calls that have not been acknowledged get half of them ([abuse] unproven_share)
        async with serving.serve(folder, "--lines", lines, "--config", str(settings)) as served:
            theirs, ours = Usage(served.process.pid), Usage(os.getpid())
            before = theirs.rss_mib()
            began = trio.current_time()
            with trio.fail_after(PATIENCE):
                await self._send_all(served.uri, document, journals)
                await served.wait_for_records(self.faxes)
            self.seconds = trio.current_time() - began
            self.cpu = {"receiving": theirs.cpu_seconds(), "sending": ours.cpu_seconds()}
            self.grown_mib = theirs.rss_mib() - before
            for tiff, record in served.records():
                documents.assert_same_pages(tiff, pages)
                self.whole += 1
                self.encrypted += record["encrypted"] is True
        self.wrong = [line for line in served.text.splitlines() if "Traceback" in line or "fault" in line.lower()]
        self.handshakes = sorted(took for path in journals.glob("*.jsonl") if (took := handshake(path)) is not None)

    async def _send_all(self, uri: str, document: Path, journals: Path) -> None:
        options = EndpointOptions(listen=("127.0.0.1", 0), journal=journals, leg=LegOptions(dtls=self.dtls))
        by_audio = replace(options, leg=replace(options.leg, caller_offer=CallerOffer.AUDIO))
        endpoints = [Endpoint(options), Endpoint(by_audio)]
        request = call.SendRequest(document=document, destination=uri, local_id="1", caller_name="")
        async with trio.open_nursery() as nursery:
            for endpoint in endpoints:
                await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
            async with trio.open_nursery() as faxes:
                for number in range(self.faxes):
                    faxes.start_soon(self._send, endpoints[number % 2], request)
            nursery.cancel_scope.cancel()

    async def _send(self, endpoint: Endpoint, request: call.SendRequest) -> None:
        outcome = await endpoint.outbound().send(request, publish=lambda event: None)
        self.outcomes.append(outcome)
        if not outcome.ok:
            self.wrong.append(outcome.sentence)


def handshake(journal: Path) -> float | None:
    """Seconds that the handshake of a call took; None without one."""
    at = {entry.facts.get("what"): entry.t for entry in read_journal(journal) if entry.kind == "dtls"}
    return at["encrypted"] - at["agreed"] if "encrypted" in at and "agreed" in at else None


def table(rounds: list[Load]) -> str:
    """What was measured, in Markdown."""
    rows: dict[str, list[str]] = {
        "arrived": [f"{one.whole} of {one.faxes}, {one.encrypted} encrypted" for one in rounds],
        "seconds": [f"{one.seconds:.1f}" for one in rounds],
        "handshakes": [_of_handshakes(one.handshakes) for one in rounds],
        "memory": [f"{one.grown_mib:+.1f} MiB" for one in rounds],
    }
    for side in ("receiving", "sending"):
        rows[f"processor, {side}"] = [f"{one.cpu[side] / one.faxes / one.pages:.3f} s a page" for one in rounds]
    head = ["", *(f'`dtls = "{one.dtls}"`' for one in rounds)]
    lines = [head, ["---"] * len(head), *([name, *values] for name, values in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _of_handshakes(took: list[float]) -> str:
    if not took:
        return "none"
    return f"{took[len(took) // 2] * 1_000:.0f} ms in the middle, {took[-1] * 1_000:.0f} ms at most"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="many encrypted faxes at once, beside the same without")
    parser.add_argument("--faxes", type=int, default=20)
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--table", type=Path, help="write what was measured to this file, too")
    asked = parser.parse_args()
    rounds = []
    for dtls in (Dtls.OFF, Dtls.REQUIRED):
        with tempfile.TemporaryDirectory(prefix="vfax-dtls-") as folder:
            rounds.append(Load(dtls, asked.faxes, asked.pages))
            trio.run(rounds[-1].run, Path(folder))
    print(table(rounds))
    for one in rounds:
        print(*one.wrong, sep="\n", end="\n" if one.wrong else "")
    if asked.table is not None:
        asked.table.write_text(table(rounds) + "\n")
    return 0 if all(one.well for one in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
