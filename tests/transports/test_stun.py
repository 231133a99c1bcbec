"""STUN: the vectors of RFC 5769, the engine in virtual time, rubbish."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError
from vfax.transports import stun
from vfax.transports.sip.values import Address
from vfax.transports.stun import Attribute, MessageClass, StunMessage, is_stun, long_term_key, short_term_key, verifies
from vfax.transports.stun_client import Mapped, StunClient, StunOptions, Unanswered, usable

# RFC 5769 2.1 to 2.4
REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff"
    "80290008 932ff9b151263b36 00060009 6576746a3a68367659202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200008 0001a147e112a643"
    "00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220"
    "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9 00080014 a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004 c8fb0b4c"
)
LONG_TERM = bytes.fromhex(
    "00010060 2112a442 78ad3433c6ad72c029da412e 00060012 e3839ee38388e383aae38383e382afe382b90000"
    "0015001c 662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b 6578616d706c652e6f726700"
    "00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666"
)
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
SERVER: Address = ("192.0.2.100", 3478)


# --- RFC 5769 ------------------------------------------------------------------------------------


def test_rfc5769_2_1_request() -> None:
    message = StunMessage.decode(REQUEST)
    assert (message.message_class, message.method, message.transaction) == (MessageClass.REQUEST, 1, TRANSACTION)
    assert message.find(Attribute.SOFTWARE) == b"STUN test client"
    assert message.find(Attribute.USERNAME) == b"evtj:h6vY"
    assert message.strange == [0x0024]  # PRIORITY is ICE's
    assert verifies(REQUEST, short_term_key(PASSWORD))
    assert not verifies(REQUEST, short_term_key("another"))


@pytest.mark.parametrize(
    ("octets", "mapped"),
    [(RESPONSE_V4, ("192.0.2.1", 32853)), (RESPONSE_V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))],
    ids=["rfc5769_2_2_ipv4", "rfc5769_2_3_ipv6"],
)
def test_rfc5769_responses(octets: bytes, mapped: Address) -> None:
    message = StunMessage.decode(octets)
    assert (message.message_class, message.mapped) == (MessageClass.SUCCESS, mapped)
    assert message.find(Attribute.SOFTWARE) == b"test vector"
    assert verifies(octets, short_term_key(PASSWORD))
    again = StunMessage(
        MessageClass.SUCCESS,
        TRANSACTION,
        ((Attribute.SOFTWARE, b"test vector"), (Attribute.XOR_MAPPED_ADDRESS, stun.xor_address(mapped, TRANSACTION))),
    ).encode(key=short_term_key(PASSWORD))
    # The vectors pad with blanks, we with zeros, which integrity and fingerprint cover: all before is the same.
    assert again[:35] == octets[:35]
    assert len(again) == len(octets)
    assert StunMessage.decode(again).mapped == mapped
    assert verifies(again, short_term_key(PASSWORD))


def test_rfc5769_2_4_long_term_request() -> None:
    message = StunMessage.decode(LONG_TERM)
    username = (message.find(Attribute.USERNAME) or b"").decode()
    assert username == "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"
    assert message.find(Attribute.REALM) == b"example.org"
    assert message.find(Attribute.NONCE) == b"f//499k954d6OL34oL9FSTvy64sA"
    key = long_term_key(username, "example.org", "The\u00adM\u00aatr\u2168")
    assert key == long_term_key(username, "example.org", "TheMatrIX")
    assert verifies(LONG_TERM, key)
    again = StunMessage(MessageClass.REQUEST, message.transaction, message.attributes[:3])
    assert again.encode(key=key, fingerprint=False) == LONG_TERM


# --- octets --------------------------------------------------------------------------------------


def test_a_wrong_fingerprint_is_no_message() -> None:
    with pytest.raises(DecodeError, match="wrong fingerprint"):
        StunMessage.decode(RESPONSE_V4[:-1] + b"\x00")


def test_what_follows_the_integrity_is_not_believed() -> None:
    message = StunMessage(MessageClass.SUCCESS, TRANSACTION, ((Attribute.MESSAGE_INTEGRITY, bytes(20)),))
    forged = StunMessage(
        MessageClass.SUCCESS,
        TRANSACTION,
        (*message.attributes, (Attribute.XOR_MAPPED_ADDRESS, stun.xor_address(("192.0.2.66", 1), TRANSACTION))),
    )
    assert StunMessage.decode(forged.encode()).mapped is None


@pytest.mark.parametrize(
    "octets",
    [
        b"INVITE sip:1@192.0.2.1 SIP/2.0\r\n",
        b"\r\n\r\n",
        b"\x80\x00" + bytes(30),
        b"",
        REQUEST[:-1],
        REQUEST + b"\0\0\0\0",
        b"\x04" + REQUEST[1:],
        b"\x00\x01\x00\x02\x03\x06\xc0\x01\x80\x00\x00\xff" + bytes(20),
    ],
)
def test_what_else_comes_to_the_socket_is_not_stun(octets: bytes) -> None:
    assert not is_stun(octets)
    with pytest.raises(DecodeError):
        StunMessage.decode(octets)


@given(st.binary(max_size=80), st.binary(min_size=12, max_size=12), st.integers(0, 0x3FF))
def test_any_octets_raise_decode_error_only(body: bytes, transaction: bytes, kind: int) -> None:
    body += bytes(-len(body) % 4)
    octets = stun.HEADER.pack(kind, len(body), stun.COOKIE, transaction) + body
    assert is_stun(octets)
    try:
        message = StunMessage.decode(octets)
    except DecodeError:
        return
    _ = message.mapped, message.error, message.strange, verifies(octets, b"key")


@given(
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.lists(st.tuples(st.sampled_from([1, 6, 9, 0x20, 0x8022, 0x8023]), st.binary(max_size=40)), max_size=8),
    st.integers(0, 0xFF),
)
def test_what_is_written_is_read_again(
    message_class: MessageClass, transaction: bytes, attributes: list[tuple[int, bytes]], method: int
) -> None:
    message = StunMessage(message_class, transaction, tuple(attributes), method)
    read = StunMessage.decode(message.encode())
    assert (read.message_class, read.method, read.attributes[:-1]) == (message_class, method, message.attributes)
    assert StunMessage.decode(message.encode(fingerprint=False)) == message


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_addresses_survive_the_xor(host: str) -> None:
    value = stun.xor_address((host, 40_000), TRANSACTION)
    message = StunMessage(MessageClass.SUCCESS, TRANSACTION, ((Attribute.XOR_MAPPED_ADDRESS, value),))
    assert message.mapped == (host, 40_000)


# --- the engine ----------------------------------------------------------------------------------


def client(**options: float) -> StunClient:
    return StunClient(SERVER, StunOptions(**options), random.Random(5))  # type: ignore[arg-type]


def answer(request: bytes, address: Address = ("203.0.113.5", 33_000), *, old: bool = False) -> bytes:
    transaction = StunMessage.decode(request).transaction
    value = stun.xor_address(address, transaction)
    attribute = (int(Attribute.XOR_MAPPED_ADDRESS), value)
    if old:
        plain = b"\0\1" + address[1].to_bytes(2) + bytes(int(part) for part in address[0].split("."))
        attribute = (int(Attribute.MAPPED_ADDRESS), plain)
    return StunMessage(MessageClass.SUCCESS, transaction, (attribute,)).encode(fingerprint=not old)


def run(one: StunClient, until: float) -> list[float]:
    """The times at which it sent something, the first at 0."""
    one.begin(0.0)
    sent = [0.0] * len(one.take_output())
    while one.next_timeout() <= until:
        now = one.next_timeout()
        one.handle_timeout(now)
        sent += [now] * len(one.take_output())
    return sent


def test_rfc8489_6_2_1_requests_are_repeated_and_given_up() -> None:
    one = client(interval=0)
    assert run(one, 39.4) == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert one.take_events() == []
    one.handle_timeout(39.5)
    assert one.take_events() == [Unanswered("it did not answer 7 requests")]
    assert one.next_timeout() == float("inf")


def test_an_answer_tells_the_address_once_until_it_changes() -> None:
    one = client(interval=60)
    one.begin(0.0)
    (request,) = one.take_output()
    assert one.receive(answer(request), SERVER, 0.1)
    assert one.take_events() == [Mapped(("203.0.113.5", 33_000))]
    assert one.next_timeout() == 60.1
    one.handle_timeout(60.1)
    assert one.receive(answer(one.take_output()[0]), SERVER, 60.2)
    assert one.take_events() == []
    one.handle_timeout(120.2)
    assert one.receive(answer(one.take_output()[0], ("203.0.113.5", 40_000)), SERVER, 120.3)
    assert one.take_events() == [Mapped(("203.0.113.5", 40_000))]


def test_servers_of_rfc_3489_are_understood() -> None:
    one = client()
    one.begin(0.0)
    assert one.receive(answer(one.take_output()[0], old=True), SERVER, 0.1)
    assert one.mapped == ("203.0.113.5", 33_000)


def test_only_the_server_s_answer_to_our_request_counts() -> None:
    one = client()
    one.begin(0.0)
    (request,) = one.take_output()
    good = answer(request)
    assert not one.receive(good, ("192.0.2.66", 3478), 0.1)
    assert not one.receive(good[:8] + bytes(12) + good[20:], SERVER, 0.1)
    assert not one.receive(request, SERVER, 0.1)
    assert not one.receive(b"SIP/2.0 200 OK\r\n\r\n", SERVER, 0.1)
    assert one.asking
    assert one.receive(good, SERVER, 0.1)
    assert not one.receive(good, SERVER, 0.2)  # answered once


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (((Attribute.ERROR_CODE, b"\0\0\4\1Unauthorized\0\n"),), "it refused: 401 Unauthorized"),
        (((Attribute.ERROR_CODE, b"\0\0\3\0Try"),), "it sends us to another server (300)"),
        ((), "it refused: 0"),
    ],
)
def test_an_error_is_a_sentence(attributes: tuple[tuple[int, bytes], ...], said: str) -> None:
    one = client()
    one.begin(0.0)
    transaction = StunMessage.decode(one.take_output()[0]).transaction
    assert one.receive(StunMessage(MessageClass.ERROR, transaction, attributes).encode(), SERVER, 0.1)
    (event,) = one.take_events()
    assert isinstance(event, Unanswered)
    assert said in event.why


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "2001:db8::1"])
def test_an_address_that_cannot_be_ours_is_not_believed(host: str) -> None:
    one = client()
    one.begin(0.0)
    assert one.receive(answer(one.take_output()[0], (host, 5)), SERVER, 0.1)
    assert one.mapped is None
    assert not usable(("192.0.2.1", 0), like=SERVER)


def test_an_attribute_that_has_to_be_understood_spoils_the_answer() -> None:
    one = client()
    one.begin(0.0)
    transaction = StunMessage.decode(one.take_output()[0]).transaction
    attributes = ((0x20, stun.xor_address(("203.0.113.5", 5), transaction)), (0x7777, b""))
    assert one.receive(StunMessage(MessageClass.SUCCESS, transaction, attributes).encode(), SERVER, 0.1)
    assert one.take_events() == [Unanswered("its answer has an attribute that has to be understood and is not: 0x7777")]


def test_after_silence_it_asks_again_later_under_another_transaction() -> None:
    one = client(interval=100)
    sent = run(one, 145)
    assert sent[7:] == [139.5, 140.0, 141.0, 143.0]
