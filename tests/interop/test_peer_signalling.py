"""The test peers against each other: credentials, challenges and streams. What fails here they cannot show of vfax."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.interop import documents
from tests.interop.digest_plain import answer_of, fields_of
from tests.interop.peer import CallResult, Guard, Habits, Login, Way, open_peer

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
LOGIN = Login("fax1", "a secret of 1926")
EVERYTHING = frozenset({"INVITE", "re-INVITE", "BYE", "REGISTER"})


@pytest.mark.parametrize(
    ("challenge", "response"),
    [  # RFC 7616 3.9.1, its two answers
        ("algorithm=MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("algorithm=SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_gives_the_answers_of_the_rfc(challenge: str, response: str) -> None:
    given = fields_of(
        f'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", {challenge}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, qop=auth, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"'
    )
    assert answer_of(given, "GET", "Mufasa", "Circle of Life") == response


async def call(
    make_fax: MakeFax, folder: Path, calling: Habits, called: Habits, guard: Guard | None = None, *, tcp: bool = False
) -> tuple[CallResult, CallResult, list[Image.Image]]:
    """One fax between two peers; the second one guards itself."""
    document, pages = make_fax()
    results: dict[str, CallResult] = {}
    async with open_peer() as one, open_peer(guard=guard, tcp=tcp) as other:

        async def send() -> None:
            uri = other.uri + (";transport=tcp" if tcp else "")
            results["sender"] = await one.call(uri, document, calling)

        async def receive() -> None:
            results["receiver"] = await other.listen(folder / "got.tif", called)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(receive)
        if tcp:
            assert one.connections == 1, "one call needs one connection"
    return results["sender"], results["receiver"], pages


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-512-256"])
@pytest.mark.parametrize("proxy", [True, False], ids=["407", "401"])
async def test_the_right_password_passes_every_challenge_of_a_call(
    algorithm: str, proxy: bool, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path, libspandsp: None
) -> None:
    guard = Guard(LOGIN, methods=EVERYTHING, algorithms=("MD5", algorithm), proxy=proxy)
    calling = Habits(way=Way.AUDIO_THEN_ASK, login=LOGIN)
    sender, receiver, pages = await call(make_fax, tmp_path, calling, Habits(way=Way.AUDIO_THEN_WAIT), guard)
    assert (sender.ok, receiver.ok, sender.complaints, receiver.complaints) == (True, True, [], [])
    assert (guard.passed, guard.refused, sender.challenged) == (3, 0, 3)  # INVITE, re-INVITE, BYE
    documents.assert_same_pages(tmp_path / "got.tif", pages)


async def test_a_wrong_password_does_not_pass(fax_clock: MockClock, make_fax: MakeFax, libspandsp: None) -> None:
    guard = Guard(LOGIN)
    async with open_peer() as one, open_peer(guard=guard) as other:
        result = await one.call(other.uri, make_fax()[0], Habits(login=Login("fax1", "another")))
    assert (result.status, guard.passed, guard.refused) == (401, 0, 1)


async def test_a_fax_over_tcp_needs_one_connection(
    fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path, libspandsp: None
) -> None:
    guard = Guard(LOGIN, methods=EVERYTHING)
    calling = Habits(way=Way.AUDIO_THEN_ASK, login=LOGIN, transport="tcp")
    called = Habits(way=Way.AUDIO_THEN_WAIT, transport="tcp")
    sender, receiver, pages = await call(make_fax, tmp_path, calling, called, guard, tcp=True)
    assert (sender.ok, receiver.ok, sender.complaints, receiver.complaints) == (True, True, [], [])
    documents.assert_same_pages(tmp_path / "got.tif", pages)
