"""sipp as a SIP peer that nobody here wrote: one scenario, bounded time, errors shown.

Owns      running sipp with a scenario of tests/interop/sipp, free ports, the report.
Not here  what a scenario says (the XML files), the side under test.
Source    sipp 3.6.1 -h.
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SCENARIOS: Final = Path(__file__).parent / "sipp"
SIPP_SECONDS: Final = 25
GRACE: Final = 5
LOWEST, HIGHEST = 27_000, 32_000


def _bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_starts: Final = cycle(range(LOWEST + os.getpid() % 200 * 4, HIGHEST, 4))


def free_port() -> int:
    """The first of four free UDP ports of 127.0.0.1 (sipp takes them for audio, video and their RTCP).

    They lie below the range from which the system hands out ports by itself, and each call gives others, so that
    nothing else takes them between this look and sipp's start.
    """
    return next(port for port in _starts if all(_bindable(port + offset) for offset in range(4)))


@dataclass(frozen=True, slots=True)
class SippReport:
    """How sipp ended. `ok`: every call went exactly as the scenario says; `good` and `bad` count them."""

    ok: bool
    code: int
    errors: str
    messages: str
    good: int = 0
    bad: int = 0

    def __str__(self) -> str:
        return f"sipp ended with {self.code}\n{self.errors[-3000:]}\n{self.messages[-6000:]}"


class Sipp:
    """One run of sipp, started on entering the block; `port` is its SIP port.

    `mode` is sipp's -t: u1 (UDP), t1 (TCP, one connection for all calls), tn (TCP, one for each call).
    """

    def __init__(
        self,
        program: str,
        scenario: str,
        folder: Path,
        target: tuple[str, int] | None = None,
        *,
        calls: int = 1,
        at_once: int = 1,
        mode: str = "u1",
        login: tuple[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        rate: int = 20,
        seconds: int = SIPP_SECONDS,
        trace: bool = True,
        more: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self._seconds = seconds
        self._errors = folder / f"{scenario}-{self.port}.errors"
        self._messages = folder / f"{scenario}-{self.port}.messages"
        command = [program, *([f"{target[0]}:{target[1]}"] if target else [])]
        command += ["-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-p", str(self.port)]
        command += ["-mi", "127.0.0.1", "-mp", str(free_port()), "-m", str(calls), "-l", str(at_once), "-r", str(rate)]
        command += ["-t", mode, "-max_socket", "500", "-nostdin", "-timeout", f"{seconds}s", "-timeout_error"]
        command += ["-trace_err", "-error_file", str(self._errors)]
        command += ["-trace_msg", "-message_file", str(self._messages)] if trace else []
        command += [*(["-au", login[0], "-ap", login[1]] if login else []), *(more or ("-recv_timeout", "15000"))]
        for name, value in (keys or {}).items():
            command += ["-key", name, value]
        self._command, self._folder, self._mode = command, folder, mode
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def wait_until_listening(self) -> None:
        """Return when sipp holds its port (called sides only)."""
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            if self._is_listening():
                return
            time.sleep(0.02)
        raise AssertionError("sipp did not open its port")

    def _is_listening(self) -> bool:
        kind = socket.SOCK_STREAM if self._mode.startswith("t") else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return True
        return False

    def report(self) -> SippReport:
        """Wait for the end of the scenario."""
        assert self._process is not None
        octets, _ = self._process.communicate(timeout=self._seconds + GRACE)
        screen = octets.decode("utf-8", "replace")
        errors = self._errors.read_text("utf-8", "replace") if self._errors.exists() else ""
        messages = self._messages.read_text("utf-8", "replace") if self._messages.exists() else ""
        if not errors and self._process.returncode:
            errors = screen[-2000:]
        good, bad = (_count(screen, name) for name in ("Successful call", "Failed call"))
        return SippReport(self._process.returncode == 0, self._process.returncode, errors, messages, good, bad)


def _count(screen: str, name: str) -> int:
    """The total behind a name in sipp's last statistics."""
    found = re.findall(rf"{name}\s*\|\s*\d+\s*\|\s*(\d+)", screen)
    return int(found[-1]) if found else 0


def run_sipp(
    program: str,
    scenario: str,
    folder: Path,
    target: tuple[str, int],
    *,
    calls: int = 1,
    mode: str = "u1",
    login: tuple[str, str] | None = None,
    seconds: int = SIPP_SECONDS,
    more: Sequence[str] = (),
) -> SippReport:
    """Run a calling scenario against `target` to its end. `login`: user and password for challenges."""
    how = Sipp(
        program,
        scenario,
        folder,
        target,
        calls=calls,
        at_once=calls,
        mode=mode,
        login=login,
        seconds=seconds,
        more=more,
    )
    with how as run:
        return run.report()
