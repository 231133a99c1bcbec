"""Rubbish on both sockets of a running call: the call goes on, and the counters say what was dropped."""

import json
import random
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import trio
import trio.lowlevel
from trio.testing import MockClock

from vfax import call
from vfax.leg import InternetAware, LegOptions
from vfax.outcome import Cause
from vfax.transports.sip.sieve import Nuisance

DATA: Final = Path(__file__).parent / "data"
SEED: Final = 20261120
RANDOM_DATAGRAMS: Final = 10_000
HANDFUL: Final = 20


def invalid_vectors() -> list[bytes]:
    vectors = json.loads((DATA / "t38_vectors.json").read_text("utf-8"))
    return [bytes.fromhex(one["hex"]) for one in vectors if one["kind"].endswith("-invalid")]


def torture_messages() -> list[bytes]:
    return [path.read_bytes() for path in sorted((DATA / "rfc4475").glob("*.dat"))]


def random_datagrams() -> Iterable[bytes]:
    dice = random.Random(SEED)
    for _ in range(RANDOM_DATAGRAMS):
        yield dice.randbytes(dice.randrange(1, 300))


async def throw(rubbish: Iterable[bytes], *targets: tuple[str, int]) -> None:
    """In handfuls, spread over the call: no more at once than a socket's buffer holds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        thrower.bind(("127.0.0.1", 0))
        for count, datagram in enumerate(rubbish):
            for target in targets:
                thrower.sendto(datagram, target)
            if count % HANDFUL == 0:
                await trio.sleep(0.01)


def media_port(journal: Path) -> int:
    """Where the called side hears T.38: the port in the journal's line of the negotiated stream."""
    for line in map(json.loads, journal.read_text("utf-8").splitlines()):
        if line["kind"] == "media":
            return int(line["port"])
    raise AssertionError("the journal names no media port")


async def test_call_goes_on_under_rubbish(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    print(f"seed {SEED}")
    moving = trio.Event()
    heard: list[call.CallEvent] = []

    def publish(event: call.CallEvent) -> None:
        heard.append(event)
        if isinstance(event, call.PageMoving):
            moving.set()

    paced = LegOptions(internet_aware=InternetAware.NEVER)  # all of it comes while the call runs
    async with fax_pair(paced) as (receiver, caller), trio.open_nursery() as nursery:
        document = make_document(pages=2, rows=500)

        async def send() -> None:
            outcome = await caller.outbound().send(receiver.request(document), publish=publish)
            assert outcome.cause is Cause.COMPLETE, outcome.sentence

        nursery.start_soon(send)
        await moving.wait()
        sip, media = receiver.endpoint.address, ("127.0.0.1", media_port(receiver.journals[0]))
        await throw(torture_messages(), sip, media)
        await throw(invalid_vectors(), sip, media)
        await throw(random_datagrams(), sip, media)
        assert not receiver.done.is_set()  # all of it came while the call ran
        await receiver.done.wait()
    (outcome,) = receiver.outcomes
    assert outcome.cause is Cause.COMPLETE, outcome.sentence
    assert outcome.bad_rows == 0
    lines = [json.loads(line) for line in receiver.journals[0].read_text("utf-8").splitlines()]
    (dropped,) = [line for line in lines if line["kind"] == "counters"]
    assert (
        dropped["strangers"] + dropped["early"] == len(torture_messages()) + len(invalid_vectors()) + RANDOM_DATAGRAMS
    )
    refused = receiver.endpoint.gate.sieve.counts.refused
    silent = sum(not vector.strip(b"\r\n\0") for vector in invalid_vectors())  # as keep-alives are
    assert refused[Nuisance.NOT_SIP] >= len(invalid_vectors()) - silent + RANDOM_DATAGRAMS
    assert receiver.endpoint.counters.bugs == 0
