"""Rules of stored configuration: FaxExtInitializeConfig, and how a provider uses what it is given there."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from functools import partial

from vfax.fsp.conformance.desk import Desk
from vfax.fsp.conformance.rules import Mark, NotChecked, broken, expect, rule
from vfax.fsp.constants import DWORD_MAX, DevIdSource, Hresult
from vfax.fsp.errors import DataCorrupt, FaxServiceError


@rule("FaxExtInitializeConfig, return value")
def configuring_answers_noerror(desk: Desk) -> None:
    """FaxExtInitializeConfig returns NOERROR where nothing is stored yet; anything else makes the provider useless."""
    desk.create_devices()
    answer = desk.configure()
    expect(_is_hresult(answer) and answer == Hresult.S_OK, f"FaxExtInitializeConfig answered {answer!r}")
    desk.initialize()
    desk.start_job().end()


@rule("FaxExtInitializeConfig", mark=Mark.INFERRED)
def configuring_may_come_first(desk: Desk) -> None:
    """It comes before every other initializer: a provider works as well when its devices are created last of all."""
    desk.configure()
    desk.initialize()
    desk.create_devices()
    desk.start_job().end()


@rule("FaxExtGetData; Handling Exceptions", mark=Mark.OURS)
def corrupt_configuration_is_no_crash(desk: Desk) -> None:
    """Where FaxExtGetData fails (ERROR_BAD_DB), FaxExtInitializeConfig answers or fails: nothing else escapes."""
    desk.create_devices()
    desk.registry.failing = DataCorrupt("the configuration data are corrupt")
    try:
        answer = desk.configure()
    except FaxServiceError as why:
        expect(int(why.winerror) != 0, "it fails with last error 0, which means no error")
    else:
        expect(_is_hresult(answer), f"FaxExtInitializeConfig answered {answer!r}")


@rule("FaxExtGetData, FaxExtSetData, FaxExtRegisterForEvents, parameters")
def configuration_is_kept_under_fax_device_ids(desk: Desk) -> None:
    """A virtual provider passes DEV_ID_SRC_FAX, a device of its own or 0, and a GUID."""
    desk.start().start_job().end()
    desk.shutdown()
    uses = [use for use in desk.registry.uses if use.callback != "FaxExtUnregisterForEvents"]
    if not uses:
        _need_configuring(desk)
        raise NotChecked("the provider used none of its callbacks")
    for use in uses:
        expect(not use.wrong, f"{use.callback}: {use.wrong}")
        fax = use.source == DevIdSource.DEV_ID_SRC_FAX
        expect(fax, f"{use.callback} was called with the source {use.source!r}, where DEV_ID_SRC_FAX is 0")
        own = use.device_id == 0 or use.device_id in desk.ids
        expect(own, f"{use.callback} was called for device {use.device_id!r}, which is none of the provider's")


@rule("FaxExtConfigChange, return value")
def changes_are_answered_with_an_hresult(desk: Desk) -> None:
    """The function registered for changes takes new data from any thread, and answers with an HRESULT in time."""
    desk.start()
    registered = list(desk.registry.registered.values())
    if not registered:
        _need_configuring(desk)
        raise NotChecked("the provider registered for no changes")
    for key, changed in registered:
        data = desk.registry.data.get(key, b"")
        answer = _in_a_thread(desk, partial(changed, key.device_id, key.guid, data))
        expect(_is_hresult(answer), f"FaxExtConfigChange answered {answer!r}")
    desk.start_job().end()


@rule("FaxDevShutdown; FaxExtInitializeConfig", mark=Mark.INFERRED)
def configuration_is_left_alone_after_shutdown(desk: Desk) -> None:
    """Once FaxDevShutdown has returned the service may be gone: none of its callbacks is used any more."""
    desk.start()
    _need_configuring(desk)
    desk.shutdown()
    before = len(desk.registry.uses)
    desk.stays(lambda: len(desk.registry.uses) == before, "a callback was used after FaxDevShutdown had returned")


def _need_configuring(desk: Desk) -> None:
    if desk.exports.FaxExtInitializeConfig is None:
        raise NotChecked("the provider does not offer FaxExtInitializeConfig")


def _is_hresult(answer: object) -> bool:
    return isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer <= DWORD_MAX


def _in_a_thread(desk: Desk, call: "partial[int]") -> object:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(call).result(desk.patience.call)
    except TookTooLong:
        broken(f"FaxExtConfigChange did not return within {desk.patience.call:g} seconds")
    finally:
        pool.shutdown(wait=False)
