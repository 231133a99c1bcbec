"""Delivery by mail: smtplib against a server on a socket, with TLS, refusals, and everything a server can do wrong."""

import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
import trio

from tests.host.delivery.conftest import HOSTILE, Parcels
from tests.host.delivery.peers import Authority, SmtpPeer, drip, listening, server_context
from vfax.host.deliver_mail import MailServer, Security, deliver
from vfax.host.document import Format
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import MailTarget

TO = "sales@example.org"
TARGET = MailTarget(
    to=(TO, "b@example.org"), subject="Fax from {caller} {remote_id}", body="Hello,\n{pages} pages\n.\n"
)
PATIENCE = 30.0


@asynccontextmanager
async def serving(peer: SmtpPeer, **more: object) -> AsyncIterator[MailServer]:
    """The settings that reach this peer."""
    async with listening(peer.handle) as port:
        usual = MailServer(
            server="127.0.0.1", port=port, security=Security.NONE, sender="fax@example.org", helo="here", timeout=10.0
        )
        yield replace(usual, **more)  # type: ignore[arg-type]


async def send(parcel: Parcel, server: MailServer, target: MailTarget = TARGET) -> Result:
    with trio.fail_after(PATIENCE):
        return await deliver(parcel, target, server, trio.CapacityLimiter(4))


def tried_again(result: Result) -> bool:
    return (result.ok, result.final) == (False, False)


def read(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


async def test_a_mail_carries_the_fax_and_says_what_it_is(parcel: Parcels) -> None:
    peer = SmtpPeer()
    async with serving(peer) as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert result == Result.done(f"127.0.0.1:{server.port} has taken the mail to {TO}.")
    (mail,) = peer.mails
    assert (mail.sender, mail.recipient) == ("fax@example.org", TO)
    message = read(mail.octets)
    assert message["From"] == "fax@example.org"
    assert message["To"] == TO
    assert message["Subject"] == "Fax from +49 30 123456 +49 30 99"
    assert message["Message-ID"] == "<vfax.20250131T120000Z-0000abcd-17@example.org>"
    assert message["Date"] == "Fri, 31 Jan 2025 12:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    body = message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Hello,", "2 pages", "."]
    (attached,) = message.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_filename() == "20250131T120000Z-+49_30_123456-0000abcd.pdf"
    assert attached.get_content().startswith(b"%PDF-")


async def test_a_tiff_arrives_octet_for_octet(parcel: Parcels, two_pages: bytes) -> None:
    peer = SmtpPeer()
    async with serving(peer) as server:
        assert (await send(parcel(kind="mail", to=TO), server, replace(TARGET, form=Format.TIFF))).ok
    (attached,) = read(peer.mails[0].octets).iter_attachments()
    assert (attached.get_content_type(), attached.get_content()) == ("image/tiff", two_pages)


async def test_every_try_is_the_same_mail(parcel: Parcels) -> None:
    peer = SmtpPeer()
    async with serving(peer) as server:
        for attempts in range(2):
            made = parcel(kind="mail", to=TO)
            assert (await send(replace(made, delivery=replace(made.delivery, attempts=attempts)), server)).ok
    first, again = (read(mail.octets) for mail in peer.mails)
    assert (first["Message-ID"], first["Date"]) == (again["Message-ID"], again["Date"])


async def test_nothing_a_caller_says_becomes_a_header_or_a_command(parcel: Parcels) -> None:
    peer = SmtpPeer()
    hostile = parcel(kind="mail", caller=HOSTILE + "\r\n.\r\nMAIL FROM:<x@example.org>\r\n", to=TO)
    async with serving(peer) as server:
        assert (await send(hostile, server, replace(TARGET, body="{caller}\n.\n{sentence}"))).ok
    (mail,) = peer.mails
    message = read(mail.octets)
    assert message["Bcc"] is None
    assert "Bcc" not in message
    assert str(message["Subject"]).startswith("Fax from +49  Bcc: all@example.org")
    assert str(message["Subject"]).isprintable()
    assert mail.octets.isascii()
    assert [line.split(" ")[0] for line in peer.said] == ["ehlo", "mail", "rcpt", "data", "QUIT"]
    (attached,) = message.iter_attachments()
    assert "/" not in (attached.get_filename() or "/")


# --- TLS and login ---------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_protected_session_logs_in(
    security: Security, parcel: Parcels, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    context = server_context(certificate)
    peer = SmtpPeer(tls=context, implicit=security is Security.TLS, user="vfax", password="se cret")
    secure = {"security": security, "ca_file": str(authority.ca), "user": "vfax", "password": "se cret"}
    async with serving(peer, **secure) as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert result.ok, result.sentence
    assert peer.secure


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_server_that_cannot_show_who_it_is_gets_nothing(
    security: Security,
    wrong: str,
    parcel: Parcels,
    authority: Authority,
    certificate: tuple[Path, Path],
    wrong_name: tuple[Path, Path],
) -> None:
    context = server_context(wrong_name if wrong == "name" else certificate)
    peer = SmtpPeer(tls=context, implicit=security is Security.TLS, user="vfax", password="secret")
    ca_file = str(authority.ca) if wrong == "name" else ""
    async with serving(peer, security=security, ca_file=ca_file, user="vfax", password="secret") as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert tried_again(result)
    assert "its certificate is not to be trusted" in result.sentence
    assert not any(line.startswith("AUTH") for line in peer.said)
    assert not peer.mails


async def test_a_server_without_starttls_gets_nothing(parcel: Parcels) -> None:
    peer = SmtpPeer(user="vfax", password="secret")
    async with serving(peer, security=Security.STARTTLS, user="vfax", password="secret") as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert "STARTTLS extension not supported" in result.sentence
    assert tried_again(result)
    assert not peer.mails
    assert [line.split(" ")[0] for line in peer.said] == ["ehlo", "QUIT"] or peer.said == ["ehlo here"]


async def test_a_wrong_password_is_for_the_operator_to_mend(parcel: Parcels) -> None:
    peer = SmtpPeer(user="vfax", password="secret")
    async with serving(peer, user="vfax", password="guess") as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert "does not accept user and password: 535 5.7.8 wrong" in result.sentence
    assert "guess" not in result.sentence
    assert tried_again(result)


async def test_a_missing_file_of_authorities_is_named(parcel: Parcels) -> None:
    async with serving(SmtpPeer(), security=Security.TLS, ca_file="/nonexistent/ca.pem") as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert "No such file or directory" in result.sentence
    assert tried_again(result)


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "words", "final"),
    [
        ({"CONNECT": "554 go away"}, "554 go away", False),
        ({"CONNECT": "421 busy"}, "421 busy", False),
        ({"MAIL": "550 not you"}, "does not take mail from fax@example.org: 550 not you", False),
        ({"MAIL": "451 later"}, "451 later", False),
        ({"MAIL": "552 too large"}, "552 too large", True),
        ({"RCPT": "550 no such user"}, f"refuses the recipient {TO}: 550 no such user", True),
        ({"RCPT": "450 greylisted"}, "450 greylisted", False),
        ({"RCPT": "421 shutting down"}, "421 shutting down", False),
        ({"DATA": "554 no"}, "554 no", True),
        ({"TAKEN": "554 looks like spam"}, f"refuses the mail to {TO}: 554 looks like spam", True),
        ({"TAKEN": "451 disk full"}, "451 disk full", False),
        ({"TAKEN": "554 \x1b[2J\x00"}, "554 [2J", True),
    ],
)
async def test_a_refusal_is_kept_in_its_words_and_5yz_is_for_ever(
    answers: dict[str, str], words: str, final: bool, parcel: Parcels
) -> None:
    peer = SmtpPeer(answers=answers)
    async with serving(peer) as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert words in result.sentence
    assert (result.ok, result.final) == (False, final)
    assert result.sentence.isprintable()


@pytest.mark.parametrize("answer", ["", "500 what?", "..."])
async def test_a_mail_that_was_taken_is_taken_however_the_goodbye_goes(answer: str, parcel: Parcels) -> None:
    async with serving(SmtpPeer(answers={"QUIT": answer})) as server:
        assert (await send(parcel(kind="mail", to=TO), server)).ok


async def test_a_mail_that_is_too_large_is_given_up_before_a_server_sees_it(parcel: Parcels) -> None:
    peer = SmtpPeer()
    async with serving(peer) as server:
        assert (await send(parcel(kind="mail", to=TO), server)).ok
        size = len(peer.mails[0].octets)
        assert (await send(parcel(kind="mail", to=TO), replace(server, max_message=size))).ok
        for limit in (size - 1, 1_000):  # the mail, the document alone
            result = await send(parcel(kind="mail", to=TO), replace(server, max_message=limit))
            assert result.final
            assert f"at most {limit}" in result.sentence or f"more than {limit} octets" in result.sentence
    assert len(peer.mails) == 2


async def test_a_recipient_who_is_none_any_more_gets_nothing(parcel: Parcels) -> None:
    peer = SmtpPeer()
    async with serving(peer) as server:
        result = await send(parcel(kind="mail", to="former@example.org"), server)
    assert result == Result.failed("former@example.org is no recipient of the rule sales any more.")
    assert not peer.said


# --- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "TAKEN"])
async def test_a_server_that_closes_in_the_middle_is_asked_again(verb: str, parcel: Parcels) -> None:
    answers = {verb: "", "HELO": ""}
    async with serving(SmtpPeer(answers=answers)) as server:
        result = await send(parcel(kind="mail", to=TO), server)
    assert tried_again(result)
    assert f"could not be handed to 127.0.0.1:{server.port}: " in result.sentence


async def test_a_server_that_is_not_there_is_asked_again(parcel: Parcels) -> None:
    async with serving(SmtpPeer()) as server:
        pass
    result = await send(parcel(kind="mail", to=TO), server)
    assert "Connection refused" in result.sentence
    assert tried_again(result)


async def test_a_name_that_nobody_has_is_asked_again(parcel: Parcels) -> None:
    result = await send(parcel(kind="mail", to=TO), MailServer(server="nowhere.invalid", sender="fax@example.org"))
    assert tried_again(result)


async def test_a_silent_server_ends_with_the_limit_of_one_answer(parcel: Parcels) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with listening(silent) as port:
        server = MailServer(server="127.0.0.1", port=port, security=Security.NONE, sender="f@example.org", timeout=0.2)
        result = await send(parcel(kind="mail", to=TO), server)
    assert "timed out" in result.sentence


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "TAKEN"])
async def test_a_server_that_drips_is_cut_off_when_the_time_is_over(verb: str, parcel: Parcels) -> None:
    peer = SmtpPeer(answers={verb: "..."})
    threads = trio.CapacityLimiter(1)
    async with serving(peer) as server:
        with trio.move_on_after(0.5) as scope:
            await deliver(parcel(kind="mail", to=TO), TARGET, server, threads)
        assert scope.cancelled_caught
        with trio.fail_after(PATIENCE):  # the only thread is free again: its socket was shut
            await threads.acquire()


async def test_a_handshake_that_drips_is_cut_off(parcel: Parcels) -> None:
    async with listening(drip) as port:
        server = MailServer(server="127.0.0.1", port=port, security=Security.TLS, sender="f@example.org", timeout=1.0)
        result = await send(parcel(kind="mail", to=TO), server)
    assert tried_again(result)


async def test_an_answer_without_end_is_refused(parcel: Parcels) -> None:
    async def endless(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"2" * 65_536)

    async with listening(endless) as port:
        server = MailServer(server="127.0.0.1", port=port, security=Security.NONE, sender="f@example.org", timeout=5.0)
        result = await send(parcel(kind="mail", to=TO), server)
    assert tried_again(result)
    assert len(result.sentence) < 500
