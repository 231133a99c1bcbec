"""SIP streams.

Oracle    nothing raises; however a stream is cut, the same messages come out of it; what is held stays within the
          limits; a message that came out is as long as its Content-Length says.
"""

from typing import Final

from fuzz import vectors
from fuzz.mutate import record, split
from fuzz.targets.sip import TOKENS as TOKENS
from vfax.transports.sip.framer import Framer, KeepAlive, content_length
from vfax.transports.sip.options import SipOptions

RECORDS: Final = True
OPTIONS: Final = SipOptions(max_head=4096, max_message=8192)


def seeds() -> list[bytes]:
    """The torture messages, each cut in two, and all of them as one stream."""
    messages = list(vectors.sip_messages())
    cut = [
        record(0, 0, message[: len(message) // 2]) + record(0, 0, message[len(message) // 2 :]) for message in messages
    ]
    return [*cut, b"".join(record(0, 0, message[:1000] + b"\r\n\r\n") for message in messages[:20])]


def run(data: bytes) -> None:
    """Records are segments, whatever their kind."""
    segments = [octets for _, _, octets in split(data)[:200]]
    found, fault = read(segments)
    whole, again = read([b"".join(segments)])
    assert found == whole, "the cuts change the messages"
    assert fault == again, "the cuts change the fault"
    for message in found:
        end = message.index(b"\r\n\r\n") + 4
        assert len(message) == end + content_length(message[:end], OPTIONS.max_message)


def read(segments: list[bytes]) -> tuple[list[bytes], bool]:
    """The messages of a stream, and whether it ended in a fault."""
    framer = Framer(OPTIONS)
    found: list[bytes] = []
    for segment in segments:
        found += [item for item in framer.receive(segment) if not isinstance(item, KeepAlive)]
        assert framer.fault is not None or len(framer._held) <= OPTIONS.max_message, "too much is held"
    return found, framer.fault is not None
