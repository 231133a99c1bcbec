"""The README's example runs as printed."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.virtual import hold_for_threads
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.transports.udp import UdpSocket

README = Path(__file__).parent.parent / "README.md"


def example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert code.endswith("trio.run(main)\n")
    return str(code).removesuffix("trio.run(main)\n")


async def test_readme_example_receives_a_fax(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
) -> None:
    probe = UdpSocket.bind("127.0.0.1", 0)
    port = probe.address[1]
    probe.close()
    document = make_document(rows=200)
    received = tmp_path / "received"
    received.mkdir()
    monkeypatch.chdir(received)
    names: dict[str, Callable[[], object]] = {}
    exec(example().replace("5060", str(port)), names)  # the README of this repository
    sender = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        nursery.start_soon(names["main"])  # type: ignore[arg-type]
        await nursery.start(sender.run, lambda arrived: arrived.refuse(486))
        wanted = call.SendRequest(
            document=document, destination=f"sip:fax@127.0.0.1:{port}", local_id="+1 555 0100", caller_name=""
        )
        outcome = await sender.outbound().send(wanted, publish=lambda event: None)
        printed = ""
        with trio.fail_after(60):
            while "\nThe fax was received" not in printed:
                await trio.sleep(0.5)  # the example prints when it is done, and does nothing else
                printed += capsys.readouterr().out
        nursery.cancel_scope.cancel()
    assert outcome.ok, outcome.sentence
    (name,) = [name for name in os.listdir(received) if name.endswith(".tif")]
    with Image.open(received / name) as page:
        assert page.size == (1728, 200)
