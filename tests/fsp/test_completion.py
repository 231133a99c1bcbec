"""Completion ports: what may be posted, order, bounds, threads."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.fsp.completion import (
    RING_FIELDS,
    CompletionKey,
    CompletionPort,
    EventKey,
    Message,
    Packet,
    RingKey,
    StatusKey,
)
from vfax.fsp.constants import EventId, FaxStatus
from vfax.fsp.errors import InvalidField, InvalidParameter, PortClosed, PortFull
from vfax.fsp.structures import FaxDevStatus, FaxEvent, LineMessage

RING, STATUS, EVENT = RingKey("ring"), StatusKey("job"), EventKey("client")
DONE = FaxDevStatus(FaxStatus.FS_COMPLETED)


def page(number: int) -> FaxDevStatus:
    return FaxDevStatus(FaxStatus.FS_RECEIVING, page_count=number)


def drain(port: CompletionPort) -> list[Packet]:
    packets = []
    while (packet := port.get_nowait()) is not None:
        packets.append(packet)
    return packets


@pytest.mark.parametrize("field", RING_FIELDS)
def test_a_ring_with_any_member_off_the_table_is_refused_by_name(field: str) -> None:
    wrong: dict[str, Any] = {field: 4}
    port = CompletionPort()
    with pytest.raises(InvalidField, match=f"LineMessage.{field}") as caught:
        port.post(RING, LineMessage(1, **wrong))
    assert caught.value.field == field
    assert len(port) == 0


def test_device_zero_cannot_ring() -> None:
    with pytest.raises(InvalidField, match=r"LineMessage\.h_device"):
        CompletionPort().post(RING, LineMessage(0))


MESSAGES: list[Message] = [LineMessage(1), DONE, FaxEvent(0, 1, EventId.FEI_IDLE)]


@pytest.mark.parametrize("key", [RING, STATUS, EVENT], ids=lambda key: type(key).__name__)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_each_key_takes_its_own_kind_alone(key: CompletionKey, message: Message) -> None:
    port = CompletionPort()
    if [RING, STATUS, EVENT].index(key) == MESSAGES.index(message):
        port.post(key, message)
        assert port.get_nowait() == Packet(key, message)
    else:
        with pytest.raises(InvalidField, match=r"Packet\.message"):
            port.post(key, message)


def test_a_bare_key_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="CompletionKey"):
        CompletionPort().post(CompletionKey(), DONE)


def test_keys_are_equal_to_themselves_alone() -> None:
    assert StatusKey("a") != StatusKey("a")
    assert len({STATUS, STATUS, StatusKey("job")}) == 2


def test_closed_port_refuses_posts_and_gives_what_it_has() -> None:
    port = CompletionPort()
    port.post(STATUS, DONE)
    port.close()
    port.close()
    with pytest.raises(PortClosed):
        port.post(STATUS, DONE)
    assert port.get(timeout=0) == Packet(STATUS, DONE)
    with pytest.raises(PortClosed):
        port.get()
    with pytest.raises(PortClosed):
        port.get_nowait()


def test_get_gives_up_after_its_time() -> None:
    assert CompletionPort().get(timeout=0.001) is None


def test_closing_wakes_a_thread_that_waits() -> None:
    port = CompletionPort()
    ended: list[type[BaseException]] = []

    def read() -> None:
        try:
            port.get()
        except PortClosed as why:
            ended.append(type(why))

    reader = threading.Thread(target=read)
    reader.start()
    port.close()
    reader.join(10)
    assert ended == [PortClosed]


def test_a_post_wakes_a_thread_that_waits() -> None:
    port = CompletionPort()
    taken: list[Packet | None] = []
    waiting = threading.Event()

    def read() -> None:
        waiting.set()
        taken.append(port.get())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    waiting.wait(10)
    port.post(STATUS, DONE)
    reader.join(10)
    assert taken == [Packet(STATUS, DONE)]


def test_full_port_coalesces_progress_of_the_same_key() -> None:
    port = CompletionPort(3, reserve=1)
    other = StatusKey()
    port.post(other, page(1))
    for number in range(1, 8):
        port.post(STATUS, page(number))
    assert drain(port) == [Packet(other, page(1)), Packet(STATUS, page(6)), Packet(STATUS, page(7))]
    assert port.coalesced == 5


def test_full_port_never_drops_rings_and_endings() -> None:
    port = CompletionPort(4, reserve=4)
    other = StatusKey()
    kept: list[tuple[CompletionKey, Message]] = [
        (RING, LineMessage(1)),
        (STATUS, DONE),
        (RING, LineMessage(2)),
        (other, DONE),
    ]
    for key, message in kept:
        port.post(key, message)
    with pytest.raises(PortFull):
        port.post(StatusKey(), page(1))
    for _ in range(4):
        port.post(RING, LineMessage(3))
    with pytest.raises(PortFull) as full:
        port.post(RING, LineMessage(4))
    assert full.value.winerror == 8
    assert drain(port) == [Packet(key, message) for key, message in kept] + [Packet(RING, LineMessage(3))] * 4


def test_an_ending_takes_the_place_of_somebody_elses_older_progress() -> None:
    port = CompletionPort(3, reserve=0)
    for number in (1, 2, 3):
        port.post(STATUS, page(number))
    port.post(RING, LineMessage(1))
    assert [packet.message for packet in drain(port)] == [page(2), page(3), LineMessage(1)]


@given(
    st.lists(st.tuples(st.sampled_from(["ring", "a", "b", "take"]), st.integers(0, 3)), max_size=60),
    st.integers(1, 5),
)
def test_whatever_is_posted_each_key_keeps_its_order_and_every_ending(orders: list[tuple[str, int]], size: int) -> None:
    port = CompletionPort(size, reserve=2)
    keys: dict[str, CompletionKey] = {"ring": RingKey("ring"), "a": StatusKey("a"), "b": StatusKey("b")}
    kept: list[Packet] = []  # rings and endings, which must all come out, in this order
    accepted: list[Packet] = []
    out: list[Packet] = []
    for serial, (what, kind) in enumerate(orders, 1):
        if what == "take":
            packet = port.get_nowait()
            out += [packet] if packet else []
            continue
        final = what == "ring" or kind == 0
        message: Message = page(serial)
        if what == "ring":
            message = LineMessage(serial)
        elif final:
            message = FaxDevStatus(FaxStatus.FS_COMPLETED, page_count=serial)
        try:
            port.post(keys[what], message)
        except PortFull:
            assert len(port) >= size
            continue
        accepted.append(Packet(keys[what], message))
        kept += [accepted[-1]] if final else []
        assert len(port) <= size + 2
    out += drain(port)
    assert [packet for packet in out if packet in kept] == kept
    assert [accepted.index(packet) for packet in out] == sorted(accepted.index(packet) for packet in out)
    assert len(out) == len(accepted) - port.coalesced
    for key in keys.values():  # the newest of each key is never the one that is lost
        mine = [packet for packet in accepted if packet.key is key]
        assert not mine or mine[-1] in out


def test_packets_of_many_threads_keep_each_threads_order() -> None:
    port = CompletionPort(100_000)
    keys = [StatusKey(str(index)) for index in range(4)]
    start = threading.Barrier(len(keys) + 1)
    taken: list[Packet] = []

    def post(key: StatusKey) -> None:
        start.wait()
        for number in range(500):
            port.post(key, page(number))

    def read() -> None:
        start.wait()
        while len(taken) < 500 * len(keys):
            packet = port.get(timeout=10)
            assert packet is not None
            taken.append(packet)

    threads = [threading.Thread(target=post, args=(key,)) for key in keys]
    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in (*threads, reader):
        thread.join(20)
    for key in keys:
        assert [packet.message for packet in taken if packet.key is key] == [page(number) for number in range(500)]


def test_waker_is_called_for_posts_and_close_while_it_is_there() -> None:
    port = CompletionPort()
    calls: list[int] = []
    with port.waking(lambda: calls.append(len(port))):
        port.post(STATUS, DONE)
        port.close()
    assert calls == [1, 1]


@pytest.mark.parametrize(("capacity", "reserve"), [(0, 1), (1, -1)])
def test_senseless_bounds_are_refused(capacity: int, reserve: int) -> None:
    with pytest.raises(InvalidParameter):
        CompletionPort(capacity, reserve=reserve)
