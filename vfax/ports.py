"""The trio side of completion ports.

Owns      waiting for a packet from a trio task.
Not here  the port itself (fsp/completion.py).
"""

import trio

from vfax.fsp.completion import CompletionPort, Packet


async def get_packet(port: CompletionPort) -> Packet:
    """Take the oldest packet of `port`, waiting for one if need be.

    Posts may come from any thread, this one included. Cancelling loses no packet: it is taken in the same step in
    which it is returned. Raises PortClosed once the port is closed and empty.
    """
    await trio.lowlevel.checkpoint()
    token = trio.lowlevel.current_trio_token()
    while True:
        bell = trio.Event()
        with port.waking(_Ringer(token, bell)):
            packet = port.get_nowait()
            if packet is not None:
                return packet
            await bell.wait()


class _Ringer:
    """Sets an event of one trio run from any thread."""

    __slots__ = ("_bell", "_token")

    def __init__(self, token: trio.lowlevel.TrioToken, bell: trio.Event) -> None:
        self._token = token
        self._bell = bell

    def __call__(self) -> None:
        try:
            self._token.run_sync_soon(self._bell.set, idempotent=True)
        except trio.RunFinishedError:  # a late post from a thread: nobody waits any more
            return
