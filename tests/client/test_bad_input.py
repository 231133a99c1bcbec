"""The client and the service behind it, given what no call wants (see tests/odd.py); `host` holds it has no fault."""

from pathlib import Path

import vfax.client
from tests.client.plain import Host
from tests.odd import public, sweep
from vfax.fsp.completion import CompletionPort
from vfax.fsp.errors import FaxServiceError


def test_the_client_takes_no_nonsense_and_no_service_feels_it(host: Host, folder: Path) -> None:
    document = folder / "letter.tif"
    document.write_bytes(b"II*\0 and so on")
    with vfax.client.connect(host.socket) as fax:
        (job,) = fax.submit(document, ["1"])
        right = (job, job.id, document, ["1"], 1, "low", "pause", CompletionPort(), 0x500, folder / "new")
        calls = public(fax, but=frozenset({"close"}))
        assert sweep(calls, right, FaxServiceError, rounds=40) > 200
        assert fax.job(job).id == job.id
        assert fax.devices()
