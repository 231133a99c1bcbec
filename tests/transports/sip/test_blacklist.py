"""Targets that failed a while ago."""

from vfax.transports.sip.blacklist import Blacklist, BlacklistOptions
from vfax.transports.sip.values import Hop, Transport

A, B, C = (Hop(Transport.UDP, f"192.0.2.{n}", 5060) for n in (1, 2, 3))


def test_a_target_that_failed_is_passed_over_for_a_time_with_its_reason() -> None:
    one = Blacklist(BlacklistOptions())
    one.put(A, "it did not answer", 100.0)
    good, bad = one.sift([A, B, C], 130.0)
    assert good == (B, C)
    assert [entry.sentence(130.0) for entry in bad] == [
        "192.0.2.1:5060 over UDP is passed over for 30 s more: it did not answer"
    ]
    assert one.sift([A, B, C], 160.0) == ((A, B, C), ())


def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    one = Blacklist(BlacklistOptions(max_passed_over=600.0))
    one.put(A, "503", 0.0, retry_after=120)
    one.put(B, "503", 0.0, retry_after=1e9)
    assert [(entry.address[0], entry.until) for entry in one.listed(0.0)] == [("192.0.2.1", 120), ("192.0.2.2", 600)]


def test_when_all_are_listed_all_are_tried() -> None:
    one = Blacklist(BlacklistOptions())
    for hop in (A, B):
        one.put(hop, "it did not answer", 0.0)
    assert one.sift([A, B], 1.0) == ((A, B), ())


def test_an_answer_clears_a_target() -> None:
    one = Blacklist(BlacklistOptions())
    one.put(A, "it did not answer", 0.0)
    one.clear(A)
    assert one.find(A, 1.0) is None


def test_the_certificate_s_name_and_our_socket_do_not_make_another_target() -> None:
    one = Blacklist(BlacklistOptions())
    one.put(Hop(Transport.TLS, "192.0.2.1", 5061, name="a.example"), "refused", 0.0)
    assert one.find(Hop(Transport.TLS, "192.0.2.1", 5061, fixed=False), 1.0) is not None
    assert one.find(Hop(Transport.TCP, "192.0.2.1", 5061), 1.0) is None


def test_the_list_is_bounded_and_can_be_switched_off() -> None:
    one = Blacklist(BlacklistOptions(max_listed=2))
    for seconds, hop in ((30, A), (10, B), (20, C)):
        one.put(hop, "x", 0.0, retry_after=seconds)
    assert [entry.address[0] for entry in one.listed(1.0)] == ["192.0.2.3", "192.0.2.1"]
    off = Blacklist(BlacklistOptions(passed_over_for=0))
    off.put(A, "x", 0.0)
    assert len(off) == 0


def test_an_ipv6_target_is_named_in_brackets() -> None:
    one = Blacklist(BlacklistOptions())
    one.put(Hop(Transport.TCP, "2001:db8::1", 5060), "connection refused", 0.0)
    assert one.listed(0.5)[0].sentence(0.5).startswith("[2001:db8::1]:5060 over TCP is passed over for 60 s more")
