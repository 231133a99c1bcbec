"""The log of nuisances: its lines, its file, and what the fail2ban filter makes of them."""

import os
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import trio

from vfax.abuse import AbuseLog, line_of
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import LinkError
from vfax.transports.sip.sieve import Nuisance, Report

FAIL2BAN = Path(__file__).parents[1] / "config" / "fail2ban"
REFUSED = Report("192.0.2.7", Nuisance.FLOOD, 512, known=False)


def test_lines_have_time_host_reason_and_count(tmp_path: Path) -> None:
    log = AbuseLog(tmp_path / "abuse.log")
    log.write(REFUSED)
    log.write(replace(REFUSED, known=True))
    lines = (tmp_path / "abuse.log").read_text().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ vfax: SIP refused from 192\.0\.2\.7 reason=flood count=512", lines[0]
    )
    assert lines[1].endswith(" vfax: SIP overload by 192.0.2.7 reason=flood count=512")


@pytest.mark.skipif(os.name == "nt", reason="there an open file cannot be renamed, and nobody rotates it so")
def test_a_rotated_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "abuse.log"
    log = AbuseLog(path)
    log.write(REFUSED)
    path.rename(tmp_path / "abuse.log.1")
    log.write(REFUSED)
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="there the folder of an open file cannot be moved")
def test_a_file_that_cannot_be_had_any_more_costs_no_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    log = AbuseLog(folder / "abuse.log")
    folder.rename(tmp_path / "elsewhere")
    log.write(REFUSED)
    log.write(REFUSED)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" vfax: ")[2] for line in said] == [line_of(REFUSED)] * 2
    folder.mkdir()
    log.write(REFUSED)
    assert len((folder / "abuse.log").read_text().splitlines()) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_full_disk_costs_no_call_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log = AbuseLog(Path("/dev/full"))
    log.write(REFUSED)
    assert capsys.readouterr().err.endswith(f" vfax: {line_of(REFUSED)}\n")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"\[abuse\] log = .*nowhere.* cannot be written: No such file"):
        AbuseLog(tmp_path / "nowhere" / "abuse.log")


def banned_by_fail2ban(log: Path) -> list[str]:
    """The hosts of the lines that the filter takes, in their order, as fail2ban itself reads them."""
    program = shutil.which("fail2ban-regex")
    assert program is not None, "fail2ban is missing; as root: apt-get install fail2ban (script/test does it)"
    command = [program, "--out", "ip", "--usedns", "no", str(log), str(FAIL2BAN / "filter.d" / "vfax.conf")]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    return [line.split()[0] for line in told.splitlines() if line.strip()]


HARMLESS = (
    "2026-11-30T08:12:51Z vfax: trunk office: refused: 403 vfax: SIP refused from 192.0.2.9 reason=flood count=3",
    "2026-11-30T08:12:51Z trunk office: SIP refused from 192.0.2.9 reason=flood count=3",
    "2026-11-30T08:12:51Z vfax: SIP refused from 192.0.2.9 reason=flood count=3, says the peer",
    "2026-11-30T08:12:51Z vfax: SIP refused from pbx.example.com reason=flood count=3",
    "192.0.2.9:5060 sees our address 192.0.2.1:5060 as 203.0.113.5:5060",
)
"""What a peer may have a part in, and what is no line of the log."""


def test_fail2ban_takes_strangers_and_nobody_else(tmp_path: Path) -> None:
    """The real program reads what the log really writes of every nuisance."""
    path, wanted = tmp_path / "abuse.log", []
    log = AbuseLog(path)
    for reason, host, known in product(Nuisance, ("192.0.2.7", "2001:db8::7"), (False, True)):
        log.write(Report(host, reason, 3, known=known))
        wanted += [host] if not known and reason is not Nuisance.STRAY else []
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in HARMLESS)
    assert banned_by_fail2ban(path) == wanted


def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    """Its own check of the whole configuration, ours copied into a copy of Debian's; nothing is started."""
    folder = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", folder)
    shutil.copytree(FAIL2BAN, folder, dirs_exist_ok=True)
    (folder / "jail.d" / "vfax.conf").rename(folder / "jail.d" / "zz-vfax.conf")
    command = ["fail2ban-client", "-c", str(folder), "-d"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert "['add', 'vfax'," in told
    assert "'addfailregex'" in told or "'multi-set', 'vfax', 'addfailregex'" in told


async def test_a_running_endpoint_writes_down_who_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "abuse.log"
    options = EndpointOptions(listen=("127.0.0.1", 0), allow=("192.0.2.0/24",), abuse_log=path)
    endpoint = Endpoint(options)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as scanner:
        async with trio.open_nursery() as nursery:
            await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
            for _ in range(20):
                scanner.sendto(b"OPTIONS sip:100@127.0.0.1 SIP/2.0\r\n\r\n", endpoint.address)
            with trio.fail_after(5):
                while endpoint.counters.not_allowed < 20:  # noqa: ASYNC110 - a counter tells nobody
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert [line.partition(" vfax: ")[2] for line in path.read_text().splitlines()] == [
        "SIP refused from 127.0.0.1 reason=network count=1"
    ]
    assert banned_by_fail2ban(path) == ["127.0.0.1"]
