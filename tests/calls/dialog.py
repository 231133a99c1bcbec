"""SDP and SIP of a scripted call: a verb of a script is a method.

Owns      how the call begins, events of the dialog, what vfax asks of SIP, where its datagrams go.
Not here  SIP messages: the leg knows events only.
"""

from typing import Final

from tests.calls.memory import Memory
from tests.calls.script import Step
from tests.calls.stage import KEY
from tests.calls.words import ScriptError
from vfax import leg
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.udptl import Packet

USUAL: Final = (
    "a=T38FaxVersion:{version}",
    "a=T38MaxBitRate:14400",
    "a=T38FaxRateManagement:transferredTCF",
    "a=T38FaxMaxDatagram:400",
    "a=T38FaxUdpEC:t38UDPRedundancy",
)
AUDIO: Final = ("m=audio 30000 RTP/AVP 0 8", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=sendrecv")
ORDERS: Final = {
    "invite": leg.Invite,
    "answer": leg.Answer,
    "refuse": leg.Refuse,
    "offer": leg.Offer,
    "accept-offer": leg.AcceptOffer,
    "refuse-offer": leg.RefuseOffer,
    "hang-up": leg.HangUp,
}


class Dialog(Memory):
    """The peer signals."""

    def begin(self) -> None:
        if self.script.start == "line":
            self.stage.begin_bare(self.first_order())
        if self.script.start != "t38":
            return
        if self.stage.calling:
            self.stage.begin(None)
            self.stage.signal(sip.Answered(KEY, self.sdp("t38")))
        else:
            self.stage.begin(self.incoming("t38"))
            self.stage.signal(sip.Confirmed(KEY, b""))
        self.orders = 1

    def first_order(self) -> t30.Order | None:
        """What our side is told before the line is up."""
        addressing, page = self.script.addressing, self.script.document
        if self.script.side in ("caller", "polled", "both"):
            return t30.SendDocument(page.infos(), page.first, addressing)
        return t30.Poll(addressing) if self.script.side == "polling" else None

    def sdp(self, text: str | list[str]) -> bytes:
        """SDP in lines, by its name in the script, or the usual `t38` and `audio`; the head may be left out."""
        known: dict[str, list[str]] = {
            "": [],
            "t38": ["m=image 30000 udptl t38", *(self.script.sdp or USUAL)],
            "audio": list(AUDIO),
            **(self.script.sdps or {}),
        }
        lines = known[text] if isinstance(text, str) else text
        if lines and not lines[0].startswith("v="):
            connection = [] if any(line.startswith("c=") for line in lines) else ["c=IN IP4 192.0.2.9"]
            lines = ["v=0", "o=peer 7 1 IN IP4 192.0.2.9", "s=-", *connection, "t=0 0", *lines]
        return "".join(f"{line}\r\n" for line in lines).replace("{version}", str(self.script.peer.version)).encode()

    def incoming(self, text: str | list[str]) -> sip.IncomingCall:
        return sip.IncomingCall(
            call=KEY,
            source=("192.0.2.9", 5060),
            request_uri="sip:1@192.0.2.1",
            dialled="1",
            caller="2",
            caller_name="",
            call_id="script",
            offer=self.sdp(text),
            user_agent="",
        )

    def do_dial(self, step: Step) -> None:
        self.stage.begin(None)

    def do_ring(self, step: Step) -> None:
        self.stage.begin(self.incoming(step.value))

    def do_sip(self, step: Step) -> None:
        body = self.sdp(step.more.get("sdp", ""))
        status, reason = step.more.get("status", 0), step.more.get("reason", "")
        events: dict[str, sip.SipEvent] = {
            "progress": sip.Progress(KEY, status, reason, body),
            "answered": sip.Answered(KEY, body),
            "confirmed": sip.Confirmed(KEY, body),
            "refused": sip.Refused(KEY, status, reason),
            "cancelled": sip.Cancelled(KEY, reason),
            "reoffered": sip.Reoffered(KEY, body),
            "offer-accepted": sip.OfferAccepted(KEY, body),
            "offer-refused": sip.OfferRefused(KEY, status, reason),
            "hung-up": sip.HungUp(KEY, reason),
            "dialog-lost": sip.DialogLost(KEY, reason),
            "released": sip.Released(KEY),
        }
        self.stage.signal(events[step.value])

    def do_does(self, step: Step) -> None:
        """The next thing vfax asks of SIP."""
        begin = self.stage.now
        self.run_until(lambda: len(self.stage.orders) > self.orders, begin + step.more.get("within", 0.0), "no order")
        order = self.stage.orders[self.orders]
        self.orders += 1
        if not isinstance(order, ORDERS[step.value]):
            raise ScriptError(f"{order} came")
        first, last = step.more.get("between", (-1e9, 1e9))
        if not first <= self.stage.now - begin <= last:
            raise ScriptError(f"it came after {self.stage.now - begin:.2f} s")
        if step.more.get("status", getattr(order, "status", 0)) != getattr(order, "status", 0):
            raise ScriptError(f"{order} came")
        lines = getattr(order, "sdp", b"").decode().splitlines()
        for line in step.more.get("has", ()):
            if line not in lines:
                raise ScriptError(f"{line} is not in {lines}")
        for text in step.more.get("lacks", ()):
            if any(text.lower() in line.lower() for line in lines):
                raise ScriptError(f"{text} is in {lines}")
        if "media" in step.more and [line for line in lines if line.startswith("m=")] != step.more["media"]:
            raise ScriptError(f"its m= lines are {[line for line in lines if line.startswith('m=')]}")

    def do_switched(self, step: Step) -> None:
        """T.38 runs with these parameters: the last `Switched`."""
        told = [event for event in self.stage.events if isinstance(event, leg.Switched)]
        if not told or (step.value is not True and told[-1].remote != tuple(step.value)):
            raise ScriptError(f"{told[-1:]}")
        for name, value in step.more.items():
            if getattr(told[-1].parameters, name) != value:
                raise ScriptError(f"{name} is {getattr(told[-1].parameters, name)}")

    def do_sends_to(self, step: Step) -> None:
        """Where our last datagram went."""
        if self.stage.sent[-1][2] != tuple(step.value):
            raise ScriptError(f"{self.stage.sent[-1][2]}")

    def do_said_first(self, step: Step) -> None:
        """The IFPs we said first, in hex."""
        said = [Packet.decode(datagram).primary.hex() for _, datagram, _ in self.stage.sent[: len(step.value)]]
        if said != step.value:
            raise ScriptError(f"{said}")

    def do_order(self, step: Step) -> None:
        orders: dict[str, leg.LegOrder] = {"abort": t30.Abort(), "line-down": t30.LineDown()}
        self.stage.command(orders[step.value])
