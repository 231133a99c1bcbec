"""Registrations, delivery in both modes, leases and sessions: FaxInitializeEventQueue without any socket."""

import itertools
from collections.abc import Callable

import pytest

from vfax.fsp.completion import CompletionPort, EventKey, RingKey
from vfax.fsp.constants import DWORD_MAX, FEI_NEVENTS, NO_JOB, EventId, Win32
from vfax.fsp.errors import FaxServiceError, InvalidHandle, NotReady
from vfax.fsp.structures import FaxEvent
from vfax.host.event_table import Notice
from vfax.host.events import JobQueued, ServiceStarted, ServiceStopped
from vfax.host.notify import (
    CLIENT_GONE,
    ENDED_WITH_SERVICE,
    LOGGED_OFF,
    PORT_CLOSED,
    SINK_DIED,
    TOO_SLOW,
    WM_USER,
    Account,
    Client,
    Connection,
    Hub,
    HubOptions,
    Mode,
    Profile,
    Registration,
    State,
    event_of_message,
)

START = 0x8000
IDLE = Notice(EventId.FEI_IDLE, 3)


class Window:
    """A sink that writes down what it is told, and dies when told to."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int, int]] = []
        self.dead = False
        self.then: Callable[[], object] = lambda: None

    def __call__(self, message: int, device_id: int, job_id: int) -> int:
        if self.dead:
            raise RuntimeError("there is no such window")
        self.messages.append((message, device_id, job_id))
        self.then()
        return 0


def make_hub(**options: object) -> Hub:
    ticks, names = itertools.count(1000), itertools.count(1)
    return Hub(
        "session 1",
        now=lambda: next(ticks),
        new_id=lambda: f"id{next(names)}",
        options=HubOptions(**options),  # type: ignore[arg-type]
    )


@pytest.fixture
def hub() -> Hub:
    return make_hub()


@pytest.fixture
def handle(hub: Hub) -> Connection:
    return hub.connect(Client(process="100:1"))


@pytest.fixture
def window() -> Window:
    return Window()


def refused(hub: Hub, handle: object, **arguments: object) -> FaxServiceError:
    with pytest.raises(FaxServiceError) as caught:
        hub.initialize_event_queue(handle, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).strip()
    return caught.value


def events(port: CompletionPort) -> list[FaxEvent]:
    found = []
    while (packet := port.get_nowait()) is not None:
        assert isinstance(packet.message, FaxEvent)
        found.append(packet.message)
    return found


def register(hub: Hub, handle: Connection, **arguments: object) -> Registration:
    made = hub.initialize_event_queue(handle, **arguments)  # type: ignore[arg-type]
    assert made is not None
    return made


# --- what is refused -------------------------------------------------------------------------------

PORT, SINK = CompletionPort(), Window()
REFUSED: list[tuple[str, dict[str, object]]] = [
    ("neither", {}),
    ("key alone", {"key": 1}),
    ("both", {"port": PORT, "sink": SINK, "message_start": START}),
    ("both, logging off", {"port": PORT, "sink": SINK, "key": 1}),
    ("below WM_USER", {"sink": SINK, "message_start": WM_USER - 1}),
    ("no message_start", {"sink": SINK}),
    ("no room for 27 messages", {"sink": SINK, "message_start": DWORD_MAX - FEI_NEVENTS + 1}),
    ("negative", {"sink": SINK, "message_start": -1}),
    ("no number", {"sink": SINK, "message_start": "0x8000"}),
    ("a Boolean", {"sink": SINK, "message_start": True}),
    ("another key beside a window", {"sink": SINK, "message_start": START, "key": 2}),
    ("an EventKey beside a window", {"sink": SINK, "message_start": START, "key": EventKey()}),
    ("message_start beside a port", {"port": PORT, "message_start": START}),
    ("no port", {"port": object()}),
    ("no sink", {"sink": object(), "message_start": START}),
    ("a key of another kind", {"port": PORT, "key": RingKey()}),
    ("a key of text", {"port": PORT, "key": "1"}),
    ("a negative key", {"port": PORT, "key": -1}),
    ("a key of 65 bits", {"port": PORT, "key": 1 << 64}),
]


@pytest.mark.parametrize("arguments", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_wrong_call_is_refused_as_invalid_parameter(
    hub: Hub, handle: Connection, arguments: dict[str, object]
) -> None:
    assert refused(hub, handle, **arguments).winerror == Win32.ERROR_INVALID_PARAMETER
    assert hub.registrations == ()


def test_no_handle_is_an_invalid_parameter(hub: Hub) -> None:
    assert refused(hub, None, port=CompletionPort()).winerror == Win32.ERROR_INVALID_PARAMETER


@pytest.mark.parametrize("wrong", [0, 7, "id1", object()])
def test_what_is_no_handle_is_an_invalid_handle(hub: Hub, wrong: object) -> None:
    assert refused(hub, wrong, port=CompletionPort()).winerror == Win32.ERROR_INVALID_HANDLE


def test_a_closed_handle_is_an_invalid_handle(hub: Hub, handle: Connection) -> None:
    hub.close(handle)
    assert refused(hub, handle, port=CompletionPort()).winerror == Win32.ERROR_INVALID_HANDLE
    with pytest.raises(InvalidHandle):
        hub.close(handle)


def test_a_remote_client_cannot_have_messages_but_can_have_packets(hub: Hub, window: Window) -> None:
    far = hub.connect(Client(process="far", local=False))
    assert refused(hub, far, sink=window, message_start=START).winerror == Win32.ERROR_INVALID_PARAMETER
    assert refused(hub, far, sink=window, key=1).winerror == Win32.ERROR_INVALID_PARAMETER
    assert register(hub, far, port=CompletionPort()).mode is Mode.PACKETS


def test_a_base_number_that_equals_wm_user_is_taken_with_a_warning(
    hub: Hub, handle: Connection, window: Window
) -> None:
    made = register(hub, handle, sink=window, message_start=WM_USER)
    assert made.warnings == ("MessageStart equals WM_USER; a number above it is expected",)


def test_a_base_number_above_wm_user_is_taken_without(hub: Hub, handle: Connection, window: Window) -> None:
    assert register(hub, handle, sink=window, message_start=WM_USER + 1).warnings == ()


@pytest.mark.parametrize("limit", ["max_registrations", "max_registrations_per_client"])
def test_too_many_registrations_are_refused_as_not_enough_memory(limit: str) -> None:
    hub = make_hub(profile=Profile.XP, **{limit: 2})
    handle = hub.connect(Client(process="1"))
    register(hub, handle, port=CompletionPort())
    register(hub, handle, port=CompletionPort())
    assert refused(hub, handle, port=CompletionPort()).winerror == Win32.ERROR_NOT_ENOUGH_MEMORY


def test_too_many_connections_are_refused_as_not_enough_memory() -> None:
    hub = make_hub(max_handles=1)
    hub.connect(Client(process="1"))
    with pytest.raises(FaxServiceError) as caught:
        hub.connect(Client(process="2"))
    assert caught.value.winerror == Win32.ERROR_NOT_ENOUGH_MEMORY


def test_one_user_cannot_have_all_connections() -> None:
    hub = make_hub(max_handles_per_name=2)
    first = hub.connect(Client(process="1", name="ada"))
    hub.connect(Client(process="2", name="ada"))
    with pytest.raises(FaxServiceError, match="2 connections of ada are open, which is the limit for one") as caught:
        hub.connect(Client(process="3", name="ada"))
    assert caught.value.winerror == Win32.ERROR_NOT_ENOUGH_MEMORY
    assert hub.connect(Client(process="4", name="bob")).open
    hub.close(first)
    assert hub.connect(Client(process="3", name="ada")).open


# --- completion packets ----------------------------------------------------------------------------


def test_a_packet_carries_time_device_event_and_job_under_the_clients_key(hub: Hub, handle: Connection) -> None:
    port, key = CompletionPort(), EventKey("mine")
    made = register(hub, handle, port=port, key=key)
    hub.publish(Notice(EventId.FEI_DIALING, 5, 0xABCD))
    packet = port.get_nowait()
    assert packet is not None
    assert packet.key is key is made.key
    assert isinstance(packet.message, FaxEvent)
    assert (packet.message.device_id, packet.message.event_id, packet.message.job_id) == (
        5,
        EventId.FEI_DIALING,
        0xABCD,
    )
    assert packet.message.time_stamp >= 1000


def test_an_event_without_a_job_says_0xffffffff(hub: Hub, handle: Connection) -> None:
    port = CompletionPort()
    register(hub, handle, port=port)
    hub.publish(IDLE)
    assert [event.job_id for event in events(port)] == [0xFFFFFFFF]


def test_key_1_beside_a_port_is_a_key_like_any_other(hub: Hub, handle: Connection) -> None:
    port = CompletionPort()
    made = register(hub, handle, port=port, key=1)
    hub.publish(IDLE)
    packet = port.get_nowait()
    assert packet is not None
    assert packet.key is made.key
    assert packet.key.label == "1"
    assert hub.registrations == (made,)


def test_two_ports_are_told_apart_by_their_keys() -> None:
    hub = make_hub(profile=Profile.XP)
    handle, port = hub.connect(Client(process="1")), CompletionPort()
    keys = [EventKey("a"), EventKey("b")]
    for key in keys:
        register(hub, handle, port=port, key=key)
    hub.publish(IDLE)
    got = [port.get_nowait(), port.get_nowait()]
    assert [packet.key for packet in got if packet is not None] == keys


def test_packets_of_one_port_come_in_order(hub: Hub, handle: Connection) -> None:
    port = CompletionPort()
    register(hub, handle, port=port)
    for event_id in EventId:
        if event_id is not EventId.FEI_FAXSVC_ENDED:
            hub.publish(Notice(event_id))
    hub.publish(Notice(EventId.FEI_FAXSVC_ENDED))
    got = events(port)
    assert [event.event_id for event in got][-1] is EventId.FEI_FAXSVC_ENDED
    assert {event.event_id for event in got} == set(EventId)
    assert [event.time_stamp for event in got] == sorted(event.time_stamp for event in got)


def test_a_closed_port_ends_its_registration_in_silence(hub: Hub, handle: Connection) -> None:
    port = CompletionPort()
    made = register(hub, handle, port=port)
    port.close()
    hub.publish(IDLE)
    assert (made.ended, hub.registrations, hub.over) == (PORT_CLOSED, (), (made,))


def test_a_port_that_nobody_reads_ends_its_registration_with_that_reason(hub: Hub, handle: Connection) -> None:
    port = CompletionPort(2, reserve=0)
    made = register(hub, handle, port=port)
    for _ in range(3):
        hub.publish(IDLE)
    assert made.ended == TOO_SLOW
    assert len(events(port)) == 2


def test_packets_need_no_lease(hub: Hub, handle: Connection) -> None:
    register(hub, handle, port=CompletionPort())
    assert hub.leases == ()


# --- messages --------------------------------------------------------------------------------------


def test_every_event_survives_the_sum_with_message_start_the_27th_too(
    hub: Hub, handle: Connection, window: Window
) -> None:
    register(hub, handle, sink=window, message_start=START)
    everything = [event_id for event_id in EventId if event_id is not EventId.FEI_FAXSVC_ENDED]
    for event_id in everything:
        hub.publish(Notice(event_id, 1, 2))
    assert window.messages == [(START + event_id, 1, 2) for event_id in everything]
    assert [event_of_message(message, START) for message, _, _ in window.messages] == everything
    assert EventId.FEI_FAXSVC_STARTED in everything


def test_the_range_of_messages_is_inclusive() -> None:
    assert event_of_message(START + FEI_NEVENTS, START) is EventId.FEI_FAXSVC_STARTED
    assert event_of_message(START, START) is None
    assert event_of_message(START + FEI_NEVENTS + 1, START) is None
    assert event_of_message(START - 1, START) is None


def test_a_message_is_three_numbers_and_has_no_time(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    hub.publish(IDLE)
    assert window.messages == [(START + 19, 3, NO_JOB)]


def test_a_dead_sink_is_dropped_and_costs_the_others_nothing(hub: Hub, handle: Connection, window: Window) -> None:
    port = CompletionPort()
    made = register(hub, handle, sink=window, message_start=START)
    register(hub, hub.connect(Client(process="2")), port=port)
    window.dead = True
    hub.publish(IDLE)
    hub.publish(IDLE)
    assert (made.ended, len(events(port))) == (SINK_DIED, 2)
    assert [lease.client.process for lease in hub.leases] == ["100:1"], "only logging off gives the token back"


def test_a_sink_may_log_off_from_within_a_message(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    window.then = lambda: hub.initialize_event_queue(handle, sink=window, key=1)
    hub.publish(IDLE)
    hub.publish(IDLE)
    assert (len(window.messages), hub.registrations, hub.leases) == (1, (), ())


def test_what_a_sink_makes_happen_is_told_after_what_it_was_told(hub: Hub, handle: Connection, window: Window) -> None:
    port = CompletionPort()
    register(hub, handle, sink=window, message_start=START)
    register(hub, hub.connect(Client(process="2")), port=port)

    def ring_once() -> None:
        window.then = lambda: None
        hub.publish(Notice(EventId.FEI_RINGING, 9))

    window.then = ring_once
    hub.publish(IDLE)
    assert [event.event_id for event in events(port)] == [EventId.FEI_IDLE, EventId.FEI_RINGING]


# --- second registration ---------------------------------------------------------------------------


def test_windows_2000_refuses_a_second_registration_as_invalid_data(hub: Hub, handle: Connection) -> None:
    register(hub, handle, port=CompletionPort())
    assert refused(hub, handle, port=CompletionPort()).winerror == Win32.ERROR_INVALID_DATA


def test_windows_2000_refuses_it_over_another_handle_of_the_client_too(hub: Hub, handle: Connection) -> None:
    register(hub, handle, port=CompletionPort())
    hub.close(handle)
    again = hub.connect(Client(process="100:1"))
    assert refused(hub, again, port=CompletionPort()).winerror == Win32.ERROR_INVALID_DATA


def test_windows_2000_refuses_it_after_logging_off_for_the_session_is_the_same(
    hub: Hub, handle: Connection, window: Window
) -> None:
    register(hub, handle, sink=window, message_start=START)
    assert hub.initialize_event_queue(handle, sink=window, key=1) is None
    assert refused(hub, handle, sink=window, message_start=START).winerror == Win32.ERROR_INVALID_DATA


def test_a_call_that_was_refused_does_not_count_as_the_first(hub: Hub, handle: Connection) -> None:
    refused(hub, handle)
    register(hub, handle, port=CompletionPort())


def test_another_client_is_not_a_second_call(hub: Hub, handle: Connection) -> None:
    register(hub, handle, port=CompletionPort())
    register(hub, hub.connect(Client(process="101:1")), port=CompletionPort())


def test_windows_xp_takes_a_second_registration_and_tells_everything_twice(window: Window) -> None:
    hub = make_hub(profile=Profile.XP)
    handle, port = hub.connect(Client(process="1")), CompletionPort()
    for _ in range(2):
        register(hub, handle, port=port)
        register(hub, handle, sink=window, message_start=START)
    hub.publish(IDLE)
    assert (len(events(port)), len(window.messages)) == (2, 2)


# --- sessions --------------------------------------------------------------------------------------


def test_who_registers_while_the_service_starts_sees_its_start(hub: Hub, handle: Connection) -> None:
    port = CompletionPort()
    register(hub, handle, port=port)
    assert hub.state is State.STARTING
    hub.hear(ServiceStarted(()))
    assert [event.event_id for event in events(port)] == [EventId.FEI_FAXSVC_STARTED]
    assert hub.state.value == "running"


def test_the_end_of_the_service_is_the_last_event_and_ends_everything(
    hub: Hub, handle: Connection, window: Window
) -> None:
    register(hub, handle, sink=window, message_start=START)
    reasons: list[str] = []
    port = CompletionPort()
    register(hub, hub.connect(Client(process="2")), port=port, on_end=reasons.append)
    hub.hear(ServiceStopped())
    hub.hear(JobQueued("00000001"))
    hub.hear(ServiceStopped())
    assert window.messages == [(START + 20, 0, NO_JOB)]
    assert [event.event_id for event in events(port)] == [EventId.FEI_FAXSVC_ENDED]
    assert reasons == [ENDED_WITH_SERVICE]
    assert (hub.registrations, hub.leases, hub.connections, hub.state) == ((), (), (), State.ENDED)


def test_after_the_end_nobody_registers_or_connects(hub: Hub, handle: Connection) -> None:
    hub.hear(ServiceStopped())
    assert refused(hub, handle, port=CompletionPort()).winerror == Win32.ERROR_INVALID_HANDLE
    with pytest.raises(NotReady):
        hub.connect(Client(process="100:1"))


def test_closing_the_connection_does_not_end_notifications(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    hub.close(handle)
    hub.publish(IDLE)
    assert (len(window.messages), len(hub.leases), hub.connections) == (1, 1, ())


def test_an_open_connection_is_seen_and_so_keeps_an_idle_host(hub: Hub, handle: Connection) -> None:
    assert hub.connections == (handle,)


def test_registrations_alone_do_not_keep_an_idle_host(hub: Hub, handle: Connection) -> None:
    register(hub, handle, port=CompletionPort())
    hub.close(handle)
    assert hub.connections == ()


# --- the lease -------------------------------------------------------------------------------------


def test_a_lease_is_opened_for_messages_under_a_user_account(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    assert [(lease.client, lease.sink) for lease in hub.leases] == [(handle.client, window)]


def test_the_system_account_needs_no_lease(window: Window) -> None:
    hub = make_hub(account=Account.SYSTEM, allow_interact=True)
    register(hub, hub.connect(Client(process="1")), sink=window, message_start=START)
    assert hub.leases == ()


def test_logging_off_closes_the_lease_stops_at_once_and_may_be_said_twice(
    hub: Hub, handle: Connection, window: Window
) -> None:
    made = register(hub, handle, sink=window, message_start=START)
    for _ in range(2):  # WM_ENDSESSION and WM_DESTROY may both come
        assert hub.initialize_event_queue(handle, sink=window, message_start=START, key=1) is None
    hub.publish(IDLE)
    assert (window.messages, hub.leases, made.ended, hub.registrations) == ([], (), LOGGED_OFF, ())


def test_logging_off_does_not_depend_on_the_account(window: Window) -> None:
    hub = make_hub(account=Account.SYSTEM, allow_interact=True)
    handle = hub.connect(Client(process="1"))
    register(hub, handle, sink=window, message_start=START)
    assert hub.initialize_event_queue(handle, sink=window, key=1) is None
    hub.publish(IDLE)
    assert window.messages == []


def test_logging_off_works_over_a_new_connection(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    hub.close(handle)
    again = hub.connect(handle.client)
    assert hub.initialize_event_queue(again, sink=window, key=1) is None
    assert hub.leases == ()


def test_logging_off_with_another_sink_changes_nothing(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    assert hub.initialize_event_queue(handle, sink=Window(), key=1) is None
    hub.publish(IDLE)
    assert (len(window.messages), len(hub.leases)) == (1, 1)


def test_another_client_cannot_log_this_one_off(hub: Hub, handle: Connection, window: Window) -> None:
    register(hub, handle, sink=window, message_start=START)
    hub.initialize_event_queue(hub.connect(Client(process="2")), sink=window, key=1)
    assert len(hub.leases) == 1


def test_logging_off_ends_both_registrations_of_one_sink(window: Window) -> None:
    hub = make_hub(profile=Profile.XP)
    handle = hub.connect(Client(process="1"))
    register(hub, handle, sink=window, message_start=START)
    register(hub, handle, sink=window, message_start=START)
    assert len(hub.leases) == 1
    hub.initialize_event_queue(handle, sink=window, key=1)
    hub.publish(IDLE)
    assert (len(window.messages), len(hub.registrations), len(hub.leases)) == (0, 0, 0)


def test_a_client_whose_process_has_gone_leaves_nothing(hub: Hub, handle: Connection, window: Window) -> None:
    made = register(hub, handle, sink=window, message_start=START)
    hub.client_gone("100:1")
    hub.client_gone("100:1")
    hub.publish(IDLE)
    assert (len(window.messages), len(hub.leases), len(hub.connections)) == (0, 0, 0)
    assert made.ended == CLIENT_GONE


def test_leases_of_dead_sinks_count_against_the_limit() -> None:
    hub = make_hub(profile=Profile.XP, max_registrations_per_client=2)
    handle = hub.connect(Client(process="1"))
    for _ in range(2):
        hub.end(register(hub, handle, sink=Window(), message_start=START))
    assert refused(hub, handle, sink=Window(), message_start=START).winerror == Win32.ERROR_NOT_ENOUGH_MEMORY


# --- the desktop -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "allow_interact", "desktop", "told"),
    [
        (Account.SYSTEM, False, "alice", False),
        (Account.SYSTEM, True, "alice", True),
        (Account.SYSTEM, False, "host", True),
        (Account.USER, False, "alice", True),
    ],
)
def test_messages_cross_desktops_with_a_token_or_where_the_service_may_interact(
    account: Account, allow_interact: bool, desktop: str, told: bool, window: Window
) -> None:
    hub = make_hub(account=account, allow_interact=allow_interact, desktop="host")
    handle = hub.connect(Client(process="1", desktop=desktop))
    register(hub, handle, sink=window, message_start=START)
    hub.publish(IDLE)
    assert bool(window.messages) is told


def test_packets_cross_desktops_always() -> None:
    hub, port = make_hub(account=Account.SYSTEM, desktop="host"), CompletionPort()
    register(hub, hub.connect(Client(process="1", desktop="alice")), port=port)
    hub.publish(IDLE)
    assert len(events(port)) == 1
