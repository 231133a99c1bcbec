"""Junk without end while faxes run: `script/interop flood`.

    python -m tests.interop.flood [--rate 5000] [--seconds 30] [--faxes 10] [--seed N] [--open] [--table FILE]

`vfax serve` takes faxes of libspandsp, half of them called before and half during the flood; junk.py floods its port.
Prints what was measured; exit status 1 when a fax is lost, or when resident memory grows by 20 MiB or more. With --open
everybody may call, so that all of the junk is from strangers that are allowed.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from tests.interop import documents, serving
from tests.interop.junk import ALLOWED
from tests.interop.peer import CallResult, Habits, SpandspPeer, open_peer
from tests.interop.proc import Usage
from tests.interop.sip_plain import Message, parameter

LIMIT_MIB: Final = 20.0
SETTLE: Final = 6.0  # seconds from the first calls to the flood
AFTER: Final = 90.0  # seconds after the flood in which the last fax has to end


@dataclass(slots=True)
class Flood:
    """One run and what came of it."""

    folder: Path
    rate: int = 5000
    seconds: float = 30.0
    faxes: int = 10
    seed: int = 1
    open_to_all: bool = False
    results: list[CallResult] = field(default_factory=list)
    junk: dict[str, dict[str, int]] = field(default_factory=dict)
    rss_mib: list[float] = field(default_factory=list)
    cpu: float = 0.0  # processor seconds a second of flood
    whole: int = 0  # documents in the inbox that are what was sent
    bugs: list[str] = field(default_factory=list)

    @property
    def arrived(self) -> int:
        """Faxes that libspandsp says were well."""
        return sum(result.ok for result in self.results)

    @property
    def grown_mib(self) -> float:
        """From the beginning of the flood to the most."""
        return max(self.rss_mib) - self.rss_mib[0]

    @property
    def well(self) -> bool:
        """Whether all that must hold holds."""
        return self.arrived == self.whole == self.faxes and self.grown_mib < LIMIT_MIB and not self.bugs

    async def run(self) -> None:
        """Serve, call, flood, wait for the last fax."""
        pages = documents.draw_pages(2, lines=10)
        document = documents.write_fax(self.folder / "sent.tif", pages)
        log = self.folder / "abuse.log"
        allow = "0.0.0.0/0" if self.open_to_all else ALLOWED
        settings = self.folder / "vfax.toml"
        settings.write_text(f'[sip]\nallow = ["{allow}"]\n[abuse]\nunproven_share = 0.4\nlog = "{log}"\n')
        lines = str(self.faxes * 2)
        async with (
            serving.serve(self.folder, "--lines", lines, "--config", str(settings)) as served,
            open_peer() as peer,
        ):
            async with trio.open_nursery() as nursery:
                for number in range(self.faxes):
                    delay = number * 0.1 if number % 2 == 0 else SETTLE + number * self.seconds / self.faxes / 2
                    nursery.start_soon(self._call, peer, served.uri, document, delay)
                await trio.sleep(SETTLE)
                with trio.fail_after(self.seconds + AFTER):
                    await self._pour(served, peer)
            await served.wait_for_records(self.faxes)
            for tiff, record in served.records():
                if record["pages"]:
                    documents.assert_same_pages(tiff, pages)
                    self.whole += 1
        self.bugs = [line for line in served.text.splitlines() if "Traceback" in line or "fault" in line.lower()]

    async def _call(self, peer: SpandspPeer, uri: str, document: Path, delay: float) -> None:
        await trio.sleep(delay)
        self.results.append(await peer.call(uri, document, Habits(watch_frames=False, patience=180.0)))

    async def _pour(self, served: serving.Served, peer: SpandspPeer) -> None:
        calls = self.folder / "calls.json"
        calls.write_text("[]")
        command = [sys.executable, "-m", "tests.interop.junk", f"127.0.0.1:{served.port}"]
        command += ["--rate", str(self.rate), "--seconds", str(self.seconds), "--seed", str(self.seed)]
        usage = Usage(served.process.pid)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, usage, peer, calls)
            done = await trio.run_process([*command, "--calls", str(calls)], capture_stdout=True)
            self.cpu = usage.cpu_seconds() / self.seconds
            nursery.cancel_scope.cancel()
        self.junk = json.loads(done.stdout)

    async def _watch(self, usage: Usage, peer: SpandspPeer, calls: Path) -> None:
        """Measure memory, and let the flood know of calls that run."""
        while True:
            self.rss_mib.append(usage.rss_mib())
            fresh = calls.with_suffix(".new")
            fresh.write_text(json.dumps(running_calls(peer)))
            os.replace(fresh, calls)
            await trio.sleep(0.5)


def running_calls(peer: SpandspPeer) -> list[tuple[str, str, str, str]]:
    """Call-ID, tags and the branch of the INVITE of the peer's calls that were answered."""
    found: dict[str, tuple[str, str, str, str]] = {}
    for datagram in list(peer.transcript.datagrams):
        if datagram.kind == "sip" and datagram.octets.startswith(b"SIP/2.0 200"):
            answer = Message.parse(datagram.octets)
            tags = parameter(answer.get("from"), "tag"), parameter(answer.get("to"), "tag")
            found[answer.get("call-id")] = (answer.get("call-id"), *tags, answer.branch)
    return list(found.values())


def table(flood: Flood) -> str:
    """What was measured, in Markdown."""
    sent, heard = flood.junk["sent"], flood.junk["heard"]
    rows = {
        "junk": f"{sent['messages'] / flood.seconds:.0f} a second for {flood.seconds:.0f} s, seed {flood.seed}",
        "who may call": "everybody" if flood.open_to_all else ALLOWED,
        "faxes arrived": f"{flood.arrived} of {flood.faxes}, {flood.whole} pixel for pixel",
        "memory": f"{flood.rss_mib[0]:.1f} MiB, {flood.grown_mib:+.1f} MiB at most",
        "processor": f"{flood.cpu * 100:.0f} % of one, {flood.faxes} faxes included",
        "answered, inside": f"{heard.get('inside', 0)} octets to {sent['inside']}",
        "answered, outside": f"{heard.get('outside', 0)} octets to {sent['outside']}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="junk without end while faxes run")
    parser.add_argument("--rate", type=int, default=5000, help="junk messages a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--faxes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--open", action="store_true", help="everybody may call")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vfax-flood-") as folder:
        flood = Flood(Path(folder), options.rate, options.seconds, options.faxes, options.seed, options.open)
        trio.run(flood.run)
        print(table(flood))
        lines = (Path(folder) / "abuse.log").read_text().splitlines()
        print(
            f"\n{len(lines)} lines in the log of nuisances, such as\n"
            + "\n".join(lines[:: max(1, len(lines) // 8)][:8])
        )
    for text in flood.bugs:
        print(text)
    print("well" if flood.well else "NOT WELL")
    return 0 if flood.well else 1


if __name__ == "__main__":
    sys.exit(main())
