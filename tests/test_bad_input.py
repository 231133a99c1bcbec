"""Whatever a program gives to a public call, it gets the documented exception, and the next call works (see odd.py)."""

from pathlib import Path

from tests.fsp.memory import MemoryNetwork
from tests.host.store.examples import ANNE, NOON, letter
from tests.odd import public, sweep
from vfax.device.exports import BlockingProvider
from vfax.errors import FaxError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.conformance.paper import write_document
from vfax.fsp.constants import Hresult, JobStatusEnum
from vfax.fsp.errors import FaxServiceError
from vfax.fsp.provider import Arena
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
    calls = {name: call for name, call in public(provider).items() if name.startswith(("Fax", "Vfax"))}
    del calls["FaxDevShutdown"]
    assert sweep(calls, right, FaxServiceError) > 400
    handle = provider.FaxDevStartJob(None, 4, statuses, key)
    provider.FaxDevSend(handle, send, None)
    provider.FaxDevEndJob(handle)
    assert provider.FaxDevShutdown() is Hresult.S_OK
