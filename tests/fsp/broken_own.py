"""Providers that break one rule of our own exports (VfaxDev...) each; importing this adds them to BROKEN."""

from typing import Any

from tests.fsp.broken import breaks
from tests.fsp.toy import Toy
from vfax.fsp.provider import Rows
from vfax.fsp.structures import CallFacts, SendHints


@breaks("trunks-are-told-in-rows")
class TrunksWithoutState(Toy):
    def VfaxDevReportTrunks(self) -> Rows:
        return [{"name": "office"}]


@breaks("peers-are-told-in-rows")
class PeersThatAreNoJson(Toy):
    def VfaxDevReportPeers(self) -> Rows:
        return [{"peer": "office", "number": "1", "age": float("nan")}]


@breaks("forgotten-peers-are-counted-and-gone")
class ForgetsNothing(Toy):
    def VfaxDevForgetPeers(self, peer: str, number: str, /) -> int:
        return len(self.peers)


@breaks("unknown-peers-are-nothing-to-forget")
class ForgetsAll(Toy):
    def VfaxDevForgetPeers(self, peer: str, number: str, /) -> int:
        return super().VfaxDevForgetPeers("", "")


@breaks("peers-are-named-by-texts")
class TakesAnyName(Toy):
    def VfaxDevForgetPeers(self, peer: Any, number: Any, /) -> int:
        return super().VfaxDevForgetPeers(str(peer), str(number))


@breaks("nothing-is-told-before-initialize")
class TellsEarly(Toy):
    def VfaxDevReportPeers(self) -> Rows:
        return []


@breaks("nothing-is-told-after-shutdown")
class TellsLate(Toy):
    def must_be_up(self) -> None:
        if self.arena is None:
            super().must_be_up()


@breaks("facts-and-hints-need-a-live-job")
class FactsOfTheDead(Toy):
    def VfaxDevReportFacts(self, handle: object, /) -> CallFacts:
        return CallFacts(device_id=1)


@breaks("hints-are-send-hints")
class TakesAnyHint(Toy):
    def VfaxDevSendHints(self, handle: object, hints: Any, /) -> None:
        self.job(handle)


@breaks("hints-cost-no-fax")
class HintsInTheWay(Toy):
    def VfaxDevSendHints(self, handle: object, hints: SendHints, /) -> None:
        super().VfaxDevSendHints(handle, hints)
        self.job(handle).aborted.set()


@breaks("address-is-host-and-port")
class AddressWithoutPort(Toy):
    def VfaxDevReportAddress(self) -> str:
        return "2001:db8::1"


@breaks("notices-are-sentences")
class NoticesAreOctets(Toy):
    def VfaxDevWatchNotices(self, notice: Any, /) -> None:
        super().VfaxDevWatchNotices(lambda sentence: notice(sentence.encode()))


@breaks("notices-want-a-function")
class WatchedByAnybody(Toy):
    def VfaxDevWatchNotices(self, notice: Any, /) -> None:
        self.notice = notice if callable(notice) else print
