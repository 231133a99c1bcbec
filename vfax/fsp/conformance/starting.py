"""Rules of the start: exports, either order, devices, the first ring.

Not here  jobs (jobs.py); the order in which rules stand is the order in which they are checked.
"""

from dataclasses import fields

from vfax.fsp.completion import RingKey, StatusKey
from vfax.fsp.conformance.desk import Desk
from vfax.fsp.conformance.rules import Mark, Need, NotChecked, expect, rule
from vfax.fsp.constants import LineMessageId
from vfax.fsp.errors import InvalidField
from vfax.fsp.structures import VirtualDevices


@rule("Fax Service Provider Functions (the export list)")
def exports_can_be_linked(desk: Desk) -> None:
    """Every required export is there under its documented name; those that may wait are all async, or all plain."""
    expect(desk.exports is not None, "the exports have been resolved when there is a desk")


@rule("FaxDevInitialize")
def line_callback_is_supplied(desk: Desk) -> None:
    """FaxDevInitialize hands over the provider's FaxLineCallback."""
    desk.create_devices()
    callback = desk.initialize()
    expect(callable(callback), f"FaxDevInitialize answered {type(callback).__name__}, which cannot be called")


@rule("FaxExtInitializeConfig, order of the initializers", mark=Mark.INFERRED)
def devices_may_come_first(desk: Desk) -> None:
    """A virtual provider is asked for its devices before FaxDevInitialize, and can start jobs afterwards."""
    desk.create_devices()
    desk.initialize()
    desk.start_job().end()


@rule("FaxDevVirtualDeviceCreation, order against FaxDevInitialize", mark=Mark.OURS)
def devices_may_come_last(desk: Desk) -> None:
    """A provider works as well when FaxDevInitialize comes before FaxDevVirtualDeviceCreation."""
    desk.initialize()
    desk.create_devices()
    desk.start_job().end()


@rule("FaxDevVirtualDeviceCreation, parameters")
def devices_are_well_formed(desk: Desk) -> None:
    """There is at least one device; the name prefix fits 128 characters; ids begin with a number other than zero."""
    devices = desk.create_devices()
    again = {field.name: getattr(devices, field.name) for field in fields(devices)}
    try:
        VirtualDevices(**again)
    except InvalidField as why:
        expect(False, str(why))


@rule("FaxDevVirtualDeviceCreation, remarks", Need.RING, mark=Mark.INFERRED)
def nothing_rings_before_initialize(desk: Desk) -> None:
    """The provider does not ring before FaxDevInitialize has succeeded."""
    desk.create_devices()
    desk.stimulus.ring(1)
    desk.stays(lambda: not desk.rings(), "a ring was posted before FaxDevInitialize was called")
    desk.initialize()


@rule("Creating a Completion Packet; LINEMESSAGE", Need.RING)
def incoming_call_rings(desk: Desk) -> None:
    """An incoming call posts one LINEMESSAGE under the ring key; hDevice is the id of the virtual device."""
    desk.start().stimulus.ring(1)
    device = desk.next_ring()
    expect(device in desk.ids, f"device {device} rings, and the ids are {desk.ids[0]} to {desk.ids[-1]}")
    desk.stays(lambda: not desk.rings(), "one call came in, and it rang twice")


@rule("Enabling and disabling devices (Windows 2000 edition)", Need.RING)
def switched_off_devices_do_not_ring(desk: Desk) -> None:
    """Told LINE_DEVSPECIFIC for each device with receiving disabled, the provider does not ring; enabled, it does."""
    desk.start()
    switch(desk, receive=False)
    desk.stimulus.ring(1)
    desk.stays(lambda: not desk.rings(), "a device rang although receiving is switched off on all of them")
    switch(desk, receive=True)
    desk.stimulus.ring(1)
    desk.next_ring()


@rule("Enabling and disabling devices (Windows 2000 edition)", Need.RING)
def being_told_again_changes_nothing(desk: Desk) -> None:
    """The notification comes for every device even if only one has changed: it says how things are, not a change."""
    callback = desk.start().line_callback()
    if len(desk.ids) < 2:
        raise NotChecked("the provider has one device only")
    for _ in range(3):
        for number in desk.ids:
            callback(None, number, LineMessageId.LINE_DEVSPECIFIC, 0, int(number != desk.ids[0]), 1, 0)
    desk.stimulus.ring(1)
    device = desk.next_ring()
    expect(device != desk.ids[0], "the one device rang whose receiving is switched off")


@rule("FaxLineCallback", mark=Mark.INFERRED)
def line_callback_takes_any_message(desk: Desk) -> None:
    """FaxLineCallback has no return value: messages and devices that do not concern the provider are ignored."""
    callback = desk.start().line_callback()
    for message in LineMessageId:
        if message is not LineMessageId.LINE_DEVSPECIFIC:
            callback(None, desk.ids[0], message, 0, 0, 0, 0)
    callback(None, desk.ids[-1] + 1, LineMessageId.LINE_DEVSPECIFIC, 0, 0, 0, 0)
    callback(object(), desk.ids[0], LineMessageId.LINE_CALLSTATE, 0, 1, 2, 3)
    desk.start_job().end()


@rule("FaxDevVirtualDeviceCreation, parameters", mark=Mark.OURS)
def wrong_ring_port_is_refused(desk: Desk) -> None:
    """What is no completion port, or no key for rings, is refused with a last error."""
    desk.refused(lambda: desk.create_devices_with("no port", RingKey()), "a ring port that is text")
    desk.refused(lambda: desk.create_devices_with(desk.ring_port, StatusKey()), "a ring key that is a job's")


def switch(desk: Desk, *, receive: bool = True, send: bool = True) -> None:
    """Tell the provider, as the service does, once for each of its devices."""
    callback = desk.line_callback()
    for number in desk.ids:
        callback(None, number, LineMessageId.LINE_DEVSPECIFIC, 0, int(receive), int(send), 0)
