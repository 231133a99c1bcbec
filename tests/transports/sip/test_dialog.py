"""Dialogs: routes, targets, numbers, and the ACKs that are kept."""

from typing import Any, Final

import pytest

from vfax.transports.sip.compose import respond
from vfax.transports.sip.dialog import AckStore, Dialog, OkWait
from vfax.transports.sip.message import Headers, Request
from vfax.transports.sip.outbox import Wire
from vfax.transports.sip.values import Flow, Transport

PEER: Final = Flow(Transport.UDP, ("192.0.2.9", 5070), ("192.0.2.1", 5060))
VIA: Final = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKown"


def make_invite(*fields: tuple[str, str], contact: str = "<sip:9@192.0.2.9:5062>") -> Request:
    return Request(
        "INVITE",
        "sip:b@example.org",
        Headers(
            [
                ("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa"),
                ("From", '"A" <sip:a@example.com>;tag=aaa'),
                ("To", "<sip:b@example.org>"),
                ("Call-ID", "c"),
                ("CSeq", "7 INVITE"),
                *([("Contact", contact)] if contact else []),
                *fields,
            ]
        ),
    )


ROUTES: Final = (("Record-Route", "<sip:192.0.2.21;lr>, <sip:192.0.2.22;lr>"), ("Record-Route", "<sip:192.0.2.23;lr>"))


def callee(*fields: tuple[str, str], symmetric: bool = False, **more: Any) -> Dialog:
    return Dialog.of_callee(make_invite(*fields, **more), "bbb", PEER, symmetric=symmetric)


def caller(*fields: tuple[str, str], contact: str = "<sip:9@192.0.2.9:5062>", symmetric: bool = False) -> Dialog:
    invite = make_invite()
    response = respond(invite, 200, to_tag="bbb", fields=[*([("Contact", contact)] if contact else []), *fields])
    return Dialog.of_caller(invite, response, PEER, symmetric=symmetric)


def test_callee_keeps_the_route_order() -> None:
    assert callee(*ROUTES).routes == ("<sip:192.0.2.21;lr>", "<sip:192.0.2.22;lr>", "<sip:192.0.2.23;lr>")


def test_caller_reverses_the_route_order() -> None:
    assert caller(*ROUTES).routes == ("<sip:192.0.2.23;lr>", "<sip:192.0.2.22;lr>", "<sip:192.0.2.21;lr>")


@pytest.mark.parametrize("make", [callee, caller])
def test_requests_go_to_the_contact(make: Any) -> None:
    dialog = make()
    request = dialog.request("BYE", VIA)
    assert request.uri == "sip:9@192.0.2.9:5062"
    assert dialog.next_hop().address == ("192.0.2.9", 5062)
    assert request.headers.all("route") == []


def test_requests_of_a_route_set_go_to_its_first_hop() -> None:
    dialog = caller(*ROUTES)
    request = dialog.request("BYE", VIA)
    assert request.uri == "sip:9@192.0.2.9:5062"
    assert request.headers.all("route") == list(dialog.routes)
    assert dialog.next_hop().address == ("192.0.2.23", 5060)


def test_strict_router_gets_its_own_address_as_request_uri() -> None:
    dialog = callee(("Record-Route", "<sip:192.0.2.21>"), ("Record-Route", "<sip:192.0.2.22;lr>"))
    request = dialog.request("BYE", VIA)
    assert request.uri == "sip:192.0.2.21"
    assert request.headers.all("route") == ["<sip:192.0.2.22;lr>", "<sip:9@192.0.2.9:5062>"]


def test_identity_of_both_sides_mirrors() -> None:
    one, two = callee(), caller()
    assert one.id == ("c", "bbb", "aaa")
    assert two.id == ("c", "aaa", "bbb")
    assert (one.owner, two.owner) == (False, True)
    answer, back = one.request("BYE", VIA), two.request("BYE", VIA)
    assert (answer.to.tag, answer.from_.tag) == ("aaa", "bbb")
    assert (back.to.tag, back.from_.tag) == ("bbb", "aaa")
    assert answer.headers.first("to") == '"A" <sip:a@example.com>;tag=aaa'


def test_numbers_rise_and_the_ack_repeats_one() -> None:
    dialog = caller()
    assert dialog.request("INVITE", VIA).cseq.number == 8
    assert dialog.request("ACK", VIA, cseq=8).cseq.number == 8
    assert dialog.request("BYE", VIA).cseq.number == 9
    assert callee().request("BYE", VIA).cseq.number == 1


def test_lower_and_equal_numbers_are_stale() -> None:
    dialog = callee()
    bye = callee().request("BYE", VIA)
    assert dialog.is_stale(bye)  # 1 after 7
    again = Request("BYE", "sip:x", Headers([("CSeq", "9 BYE")]))
    assert not dialog.is_stale(again)
    assert dialog.is_stale(again)


def test_target_is_refreshed_by_contact_only() -> None:
    dialog = callee()
    dialog.refresh(make_invite(contact="<sip:new@192.0.2.10>"))
    assert dialog.target == "sip:new@192.0.2.10"
    dialog.refresh(make_invite(contact=""))
    dialog.refresh(make_invite(contact="<tel:1>"))
    assert dialog.target == "sip:new@192.0.2.10"


def test_contact_headers_are_not_carried_into_requests() -> None:
    assert callee(contact="<sip:9?9@192.0.2.9?Subject=x>").target == "sip:9?9@192.0.2.9"


def test_missing_contact_falls_back() -> None:
    assert caller(contact="").target == "sip:b@example.org"
    assert callee(contact="").target == "sip:a@example.com"


def test_name_as_target_is_reached_where_the_peer_sent_from() -> None:
    assert callee(contact="<sip:9@gw.example>").next_hop() == PEER


def test_symmetric_signalling_ignores_contact_and_routes() -> None:
    assert callee(*ROUTES, symmetric=True).next_hop() == PEER


def test_pauses_of_the_2xx_double_up_to_t2() -> None:
    wait = OkWait(1, Wire(b"", ""), late_offer=False, pause=0.5)
    assert [wait.next_pause(4.0) for _ in range(6)] == [0.5, 1, 2, 4, 4, 4]


def test_ack_store_knows_forks_and_forgets() -> None:
    store, sent = AckStore(), Wire(b"ACK", "ACK")
    for number in range(AckStore.LIMIT):
        assert not store.is_full(1)
        store.keep(1, f"tag{number}", sent, PEER)
    assert store.is_full(1)
    assert store.find(1, "tag3") == (sent, PEER)
    assert store.find(2, "tag3") is None
    store.forget([1, 5])
    assert len(store) == 0
