"""The log of nuisances: its lines, its file, and what the fail2ban filter makes of them."""

import configparser
import os
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from vfax.abuse import AbuseLog, line_of
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import LinkError
from vfax.transports.sip.sieve import Nuisance, Report

FILTER = Path(__file__).parents[1] / "config" / "fail2ban" / "filter.d" / "vfax.conf"
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


@pytest.mark.parametrize("reason", Nuisance)
@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_the_fail2ban_filter_takes_strangers_and_nobody_else(reason: Nuisance, host: str) -> None:
    parser = configparser.ConfigParser()
    parser.read(FILTER)
    pattern = parser["Definition"]["failregex"].replace("<HOST>", r"(?P<host>[\d.]+|[\da-f:]+)")
    refused = re.match(pattern, f" vfax: {line_of(Report(host, reason, 3, known=False))}")
    assert (refused is not None) is (reason is not Nuisance.STRAY)
    assert refused is None or refused["host"] == host
    assert re.match(pattern, f" vfax: {line_of(Report(host, reason, 3, known=True))}") is None


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
