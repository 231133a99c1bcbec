"""What a running process uses, as Linux tells it.

Owns      `Usage`: resident memory, processor time.
Source    proc(5).
"""

import os
from pathlib import Path


class Usage:
    """Measures from its making on."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc") / str(pid)
        self._ticks = self._cpu_ticks()

    def rss_mib(self) -> float:
        """Resident memory now."""
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(f"{self._proc} tells no memory: the process has ended")

    def cpu_seconds(self) -> float:
        """Processor time of all threads since the start."""
        return (self._cpu_ticks() - self._ticks) / os.sysconf("SC_CLK_TCK")

    def _cpu_ticks(self) -> int:
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
