"""Whatever a program gives to a public call, it gets the documented exception, and the next call works (see odd.py)."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import trio

from tests.fsp.memory import MemoryNetwork
from tests.host.store.examples import ANNE, NOON, letter
from tests.odd import ODD, public, sweep, sweep_async
from vfax import device
from vfax.device import DeviceOptions, exports
from vfax.device.exports import BlockingProvider
from vfax.errors import FaxError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.conformance.paper import write_document
from vfax.fsp.constants import Hresult, JobStatusEnum
from vfax.fsp.errors import FaxServiceError, NotReady
from vfax.fsp.provider import OPTIONAL, REQUIRED, Arena
from vfax.fsp.structures import FaxReceive, FaxSend, SendHints
from vfax.host.store.store import Store
from vfax.host.store.values import AttemptEnd, NewDelivery, StoredFax


def test_the_store_takes_no_nonsense(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'vfax.db'}")
    (job,) = store.submit(letter("1"), NOON)
    end = AttemptEnd(status=JobStatusEnum.fjsCOMPLETED, status_id=0x20000001, cause="complete", sentence="Done.")
    fax = StoredFax(job=5, received_at=NOON, record={}, document=None, digest="", octets=0)
    right = (NOON, ANNE, job, job.id, end, fax, letter("2"), 60.0, 1, [NewDelivery(rule="a", kind="folder", target={})])
    assert sweep(public(store, but=frozenset({"close", "open"})), right, FaxError) > 500
    store.pause_queue(False)
    (mine,) = store.submit(letter("3"), NOON)
    assert mine.id in {held.id for held in store.claim(ANNE, NOON, lease=60, limit=1000)}
    store.close()


def exported(provider: object) -> dict[str, Callable[..., object]]:
    """Every function of the contract that a provider has; found by looking, so that a new one is in."""
    calls = {name: call for name, call in public(provider).items() if name.startswith(("Fax", "Vfax"))}
    assert {name for name in (*REQUIRED, *OPTIONAL) if hasattr(provider, name)} == calls.keys()
    del calls["FaxDevShutdown"]
    return calls


def test_the_functions_of_the_module_are_those_that_are_tried_here() -> None:
    """And `configure`, `create_provider` and `BlockingProvider`, which make one."""
    functions = {name for name, thing in vars(exports).items() if inspect.ismethod(thing)}
    made = exports.create_provider({"network": MemoryNetwork()})
    assert functions == {*exported(made), "FaxDevShutdown", "configure"}
    makers: dict[str, Callable[..., object]] = {
        "configure": BlockingProvider().configure,
        "exports.create_provider": exports.create_provider,
        "device.create_provider": device.create_provider,
    }
    assert sweep(makers, ({"network": MemoryNetwork()},), FaxError, rounds=40) > 60


def test_every_key_of_the_configuration_takes_no_nonsense() -> None:
    refused = set()
    for name in (*(field.name for field in fields(DeviceOptions)), "network", "endpoint"):
        for odd in ODD:
            try:
                device.create_provider({"network": MemoryNetwork(), name: odd})
            except FaxError:
                refused.add(name)
    assert refused == {*(field.name for field in fields(DeviceOptions)), "network"}  # a network needs no endpoint


async def test_the_async_provider_takes_no_nonsense(tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    write_document(document, 1)
    rings, statuses, key = CompletionPort(), CompletionPort(), StatusKey()
    async with trio.open_nursery() as nursery:
        provider = device.create_provider({"network": MemoryNetwork()})
        await provider.FaxDevVirtualDeviceCreation(rings, RingKey())
        await provider.FaxDevInitialize(None, Arena(nursery, remove_file=lambda path: None), None)
        ended = await provider.FaxDevStartJob(None, 1, statuses, key)
        await provider.FaxDevEndJob(ended)
        send = FaxSend(str(document), "sip:answering@192.0.2.1")
        right = (ended, statuses, key, 1, send, FaxReceive(str(tmp_path / "fax.tif")), SendHints(), None, rings)
        assert await sweep_async(exported(provider), right, FaxServiceError) > 400
        handle = await provider.FaxDevStartJob(None, 4, statuses, key)
        await provider.FaxDevSend(handle, send, None)
        await provider.FaxDevEndJob(handle)
        assert await provider.FaxDevShutdown() is Hresult.S_OK
        for name, ask in exported(provider).items():
            if name in ("VfaxDevReportTrunks", "VfaxDevReportPeers"):
                with pytest.raises(NotReady):
                    await ask()  # type: ignore[misc]
        with pytest.raises(NotReady):
            await provider.VfaxDevForgetPeers("", "")
        nursery.cancel_scope.cancel()


def test_the_blocking_exports_take_no_nonsense(tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    write_document(document, 1)
    provider = BlockingProvider({"network": MemoryNetwork()})
    rings, statuses, key = CompletionPort(), CompletionPort(), StatusKey()
    provider.FaxDevVirtualDeviceCreation(rings, RingKey())
    provider.FaxDevInitialize(None, Arena(None, remove_file=lambda path: None), None)
    ended = provider.FaxDevStartJob(None, 1, statuses, key)
    provider.FaxDevEndJob(ended)
    send = FaxSend(str(document), "sip:answering@192.0.2.1")
    right = (ended, statuses, key, 1, send, FaxReceive(str(tmp_path / "fax.tif")), SendHints(), None, rings, RingKey())
    assert sweep(exported(provider), right, FaxServiceError) > 400
    handle = provider.FaxDevStartJob(None, 4, statuses, key)
    provider.FaxDevSend(handle, send, None)
    provider.FaxDevEndJob(handle)
    assert provider.FaxDevShutdown() is Hresult.S_OK
