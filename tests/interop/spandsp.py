"""libspandsp as a T.38 fax terminal: a fax engine that nobody here wrote, driven by time and packets.

Owns      the ctypes binding to libspandsp.so.2 (0.0.6) and `SpandspTerminal` around its t38_terminal.
Not here  SIP, UDPTL and sockets (peer.py).
Source    the headers of libspandsp-dev 0.0.6: t38_terminal.h, t38_core.h, t30.h, t30_api.h, t30_logging.h, logging.h.
"""

import ctypes as c
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

SAMPLES_PER_SECOND: Final = 8000
STEP_SAMPLES: Final = 80
"""One call of t38_terminal_send_timeout: it does at most one step of work a call, so that calls must be small."""

LIBRARY: Final = "libspandsp.so.2"
PACKAGE: Final = "libspandsp2"


class MissingLibraryError(Exception):
    """libspandsp is not installed; the message names the Debian package."""


class Modem(StrEnum):
    """The fastest modem a terminal has; slower ones are always there too (T.30 knows no other combinations)."""

    V17 = "V.17"
    V29 = "V.29"
    V27TER = "V.27ter"


class Coding(StrEnum):
    """The best page coding a terminal has; simpler ones are always there too."""

    MH = "MH"
    MR = "MR"
    MMR = "MMR"


MODEM_BITS: Final = {Modem.V27TER: 0x01, Modem.V29: 0x03, Modem.V17: 0x07}  # T30_SUPPORT_V27TER, _V29, _V17
CODING_BITS: Final = {Coding.MH: 0x02, Coding.MR: 0x06, Coding.MMR: 0x0E}  # T30_SUPPORT_T4_1D, _T4_2D, _T6
CODING_NAMES: Final = {1: "MH", 2: "MR", 3: "MMR"}  # T4_COMPRESSION_ITU_*
STANDARD, FINE, R8 = 0x01, 0x02, 0x20000  # T30_SUPPORT_*_RESOLUTION
EVERY_RESOLUTION: Final = 0x730007
"""T30_SUPPORT_STANDARD, _FINE, _SUPERFINE, _R4, _R8, _R16, _300_300, _400_400, _600_600_RESOLUTION."""
WIDTH_215MM, UNLIMITED_LENGTH, A4_LENGTH = 0x01, 0x10000, 0x20000  # T30_SUPPORT_*
FEATURES: Final = 0x01 | 0x02 | 0x10
"""T30_SUPPORT_IDENTIFICATION, _SELECTIVE_POLLING, _SUB_ADDRESSING."""
EVERY_WIDTH: Final = 0x07  # T30_SUPPORT_215MM_WIDTH, _255MM_WIDTH, _303MM_WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a terminal says that it can do."""

    ident: str = "+1 555 010 7038"
    ecm: bool = True
    modem: Modem = Modem.V17
    coding: Coding = Coding.MMR
    fine: bool = True
    everything: bool = False  # every resolution and every width it knows
    t38_version: int = 0
    max_bit_rate_bps: int = 14400
    min_row_time_ms: int = 0
    subaddress: str = ""  # SUB, SID, SEP and PWD that it says, when it says anything
    sender_ident: str = ""
    poll_address: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What libspandsp says of a fax. `ok` is its T30_ERR_OK and nothing less."""

    ok: bool
    text: str
    pages_sent: int
    pages_received: int
    remote_ident: str
    rate_bps: int
    ecm: bool
    coding: str
    bad_rows: int
    ecm_retries: int


@dataclass(frozen=True, slots=True)
class FrameSeen:
    """One T.30 frame as libspandsp saw it."""

    incoming: bool
    name: str
    octets: bytes


class Statistics(c.Structure):
    """t30_stats_t of t30.h: fifteen ints."""

    _fields_ = [
        ("bit_rate", c.c_int),
        ("error_correcting_mode", c.c_int),
        ("pages_tx", c.c_int),
        ("pages_rx", c.c_int),
        ("pages_in_file", c.c_int),
        ("x_resolution", c.c_int),
        ("y_resolution", c.c_int),
        ("width", c.c_int),
        ("length", c.c_int),
        ("image_size", c.c_int),
        ("encoding", c.c_int),
        ("bad_rows", c.c_int),
        ("longest_bad_row_run", c.c_int),
        ("error_correcting_mode_retries", c.c_int),
        ("current_status", c.c_int),
    ]


_state = c.c_void_p
TxPacketHandler = c.CFUNCTYPE(c.c_int, _state, c.c_void_p, c.POINTER(c.c_uint8), c.c_int, c.c_int)
PhaseHandler = c.CFUNCTYPE(c.c_int, _state, c.c_void_p, c.c_int)
PhaseEHandler = c.CFUNCTYPE(None, _state, c.c_void_p, c.c_int)
FrameHandler = c.CFUNCTYPE(None, _state, c.c_void_p, c.c_int, c.POINTER(c.c_uint8), c.c_int)
LogHandler = c.CFUNCTYPE(None, c.c_int, c.c_char_p)

PROTOTYPES: Final = {
    "t38_terminal_init": (_state, [_state, c.c_int, TxPacketHandler, c.c_void_p]),
    "t38_terminal_send_timeout": (c.c_int, [_state, c.c_int]),
    "t38_terminal_get_t30_state": (_state, [_state]),
    "t38_terminal_get_t38_core_state": (_state, [_state]),
    "t38_terminal_get_logging_state": (_state, [_state]),
    "t38_terminal_set_config": (None, [_state, c.c_int]),
    "t38_terminal_set_tep_mode": (None, [_state, c.c_int]),
    "t38_terminal_set_fill_bit_removal": (None, [_state, c.c_int]),
    "t38_terminal_free": (c.c_int, [_state]),
    "t38_core_rx_ifp_packet": (c.c_int, [_state, c.c_char_p, c.c_int, c.c_uint16]),
    "t38_set_t38_version": (None, [_state, c.c_int]),
    "t38_set_data_rate_management_method": (None, [_state, c.c_int]),
    "t38_set_fastest_image_data_rate": (None, [_state, c.c_int]),
    "t30_set_tx_file": (None, [_state, c.c_char_p, c.c_int, c.c_int]),
    "t30_set_rx_file": (None, [_state, c.c_char_p, c.c_int]),
    "t30_set_tx_ident": (c.c_int, [_state, c.c_char_p]),
    "t30_get_rx_ident": (c.c_char_p, [_state]),
    "t30_set_tx_sub_address": (c.c_int, [_state, c.c_char_p]),
    "t30_set_tx_sender_ident": (c.c_int, [_state, c.c_char_p]),
    "t30_set_tx_selective_polling_address": (c.c_int, [_state, c.c_char_p]),
    "t30_set_tx_password": (c.c_int, [_state, c.c_char_p]),
    "t30_get_rx_sub_address": (c.c_char_p, [_state]),
    "t30_get_rx_sender_ident": (c.c_char_p, [_state]),
    "t30_get_rx_selective_polling_address": (c.c_char_p, [_state]),
    "t30_get_rx_password": (c.c_char_p, [_state]),
    "t30_set_supported_t30_features": (c.c_int, [_state, c.c_int]),
    "t30_set_tx_page_header_info": (c.c_int, [_state, c.c_char_p]),
    "t30_set_ecm_capability": (c.c_int, [_state, c.c_int]),
    "t30_set_rx_encoding": (c.c_int, [_state, c.c_int]),
    "t30_set_minimum_scan_line_time": (c.c_int, [_state, c.c_int]),
    "t30_set_supported_modems": (c.c_int, [_state, c.c_int]),
    "t30_set_supported_compressions": (c.c_int, [_state, c.c_int]),
    "t30_set_supported_resolutions": (c.c_int, [_state, c.c_int]),
    "t30_set_supported_image_sizes": (c.c_int, [_state, c.c_int]),
    "t30_set_phase_b_handler": (None, [_state, PhaseHandler, c.c_void_p]),
    "t30_set_phase_d_handler": (None, [_state, PhaseHandler, c.c_void_p]),
    "t30_set_phase_e_handler": (None, [_state, PhaseEHandler, c.c_void_p]),
    "t30_set_real_time_frame_handler": (None, [_state, FrameHandler, c.c_void_p]),
    "t30_get_transfer_statistics": (None, [_state, c.POINTER(Statistics)]),
    "t30_get_logging_state": (_state, [_state]),
    "t30_completion_code_to_str": (c.c_char_p, [c.c_int]),
    "t30_frametype": (c.c_char_p, [c.c_uint8]),
    "t30_terminate": (None, [_state]),
    "span_log_set_level": (c.c_int, [_state, c.c_int]),
    "span_log_set_message_handler": (None, [_state, LogHandler]),
}

_loaded: list[c.CDLL] = []


def load() -> c.CDLL:
    """Give libspandsp with every prototype set; raises MissingLibraryError."""
    if not _loaded:
        try:
            library = c.CDLL(LIBRARY)
        except OSError as why:
            raise MissingLibraryError(
                f"{LIBRARY} cannot be loaded ({why}); install the Debian package {PACKAGE}"
            ) from why
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        _loaded.append(library)
    return _loaded[0]


class SpandspTerminal:
    """One T.38 terminal: `caller` sends the TIFF `document`, else pages go into the TIFF `document`.

    `sends` says otherwise: a caller that does not send polls, a called side that sends is polled.

    Times are seconds on the caller's own clock. `advance` first: it starts the terminal's time.
    """

    def __init__(
        self,
        document: Path,
        *,
        caller: bool,
        sends: bool | None = None,
        abilities: Abilities | None = None,
        watch_frames: bool = True,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._lib = load()
        self._output: list[tuple[bytes, int]] = []
        self._failure: Exception | None = None
        self._started_at: float | None = None
        self._samples = 0
        self.frames: list[FrameSeen] = []
        self.pages_done = 0
        self.trained = False
        self.completion: int | None = None
        # Quirk: libspandsp keeps bare pointers to these; they must live as long as the terminal.
        self._on_packet = TxPacketHandler(self._packet)
        self._on_phase_b = PhaseHandler(lambda state, user, code: 0)
        self._on_phase_d = PhaseHandler(self._phase_d)
        self._on_phase_e = PhaseEHandler(self._phase_e)
        self._on_frame = FrameHandler(self._frame)
        self._on_log = LogHandler(lambda level, text: log(text.decode("latin-1").rstrip()) if log else None)
        self._terminal = _state(self._lib.t38_terminal_init(None, int(caller), self._on_packet, None))
        if not self._terminal:
            raise MissingLibraryError("libspandsp could not make a T.38 terminal")
        self._core = _state(self._lib.t38_terminal_get_t38_core_state(self._terminal))
        self._t30 = _state(self._lib.t38_terminal_get_t30_state(self._terminal))
        self._configure(abilities or Abilities())
        self._set_document(document, sends=caller if sends is None else sends)
        self._set_handlers(watch_frames=watch_frames, log=log is not None)

    def _configure(self, able: Abilities) -> None:
        lib, t30 = self._lib, self._t30
        lib.t38_set_t38_version(self._core, able.t38_version)
        lib.t38_set_fastest_image_data_rate(self._core, able.max_bit_rate_bps)
        lib.t38_terminal_set_tep_mode(self._terminal, 0)
        lib.t30_set_tx_ident(t30, able.ident.encode("ascii"))
        lib.t30_set_tx_page_header_info(t30, b"")  # a header line would change the pixels
        lib.t30_set_ecm_capability(t30, int(able.ecm))
        lib.t30_set_supported_modems(t30, MODEM_BITS[able.modem])
        lib.t30_set_supported_compressions(t30, CODING_BITS[able.coding])
        resolutions = EVERY_RESOLUTION if able.everything else STANDARD | R8 | (FINE if able.fine else 0)
        lib.t30_set_supported_resolutions(t30, resolutions)
        widths = EVERY_WIDTH if able.everything else WIDTH_215MM
        lib.t30_set_supported_image_sizes(t30, widths | A4_LENGTH | UNLIMITED_LENGTH)
        lib.t30_set_minimum_scan_line_time(t30, able.min_row_time_ms)
        lib.t30_set_supported_t30_features(t30, FEATURES)
        for say, text in (
            (lib.t30_set_tx_sub_address, able.subaddress),
            (lib.t30_set_tx_sender_ident, able.sender_ident),
            (lib.t30_set_tx_selective_polling_address, able.poll_address),
            (lib.t30_set_tx_password, able.password),
        ):
            if text:
                say(t30, text.encode("ascii"))

    def said(self) -> dict[str, str]:
        """SUB, SID, SEP and PWD that it heard."""
        lib = self._lib
        asked = {
            "SUB": lib.t30_get_rx_sub_address,
            "SID": lib.t30_get_rx_sender_ident,
            "SEP": lib.t30_get_rx_selective_polling_address,
            "PWD": lib.t30_get_rx_password,
        }
        heard = {name: ask(self._t30) for name, ask in asked.items()}
        return {name: text.decode("latin-1") for name, text in heard.items() if text}

    def _set_document(self, document: Path, *, sends: bool) -> None:
        name = str(document).encode()
        if sends:
            self._lib.t30_set_tx_file(self._t30, name, -1, -1)
        else:
            self._lib.t30_set_rx_file(self._t30, name, -1)
            self._lib.t30_set_rx_encoding(self._t30, 3)  # T4_COMPRESSION_ITU_T6

    def _set_handlers(self, *, watch_frames: bool, log: bool) -> None:
        lib, t30 = self._lib, self._t30
        lib.t30_set_phase_b_handler(t30, self._on_phase_b, None)
        lib.t30_set_phase_d_handler(t30, self._on_phase_d, None)
        lib.t30_set_phase_e_handler(t30, self._on_phase_e, None)
        if watch_frames:
            lib.t30_set_real_time_frame_handler(t30, self._on_frame, None)
        if log:
            for state in (
                lib.t38_terminal_get_logging_state(self._terminal),
                lib.t30_get_logging_state(t30),
            ):
                lib.span_log_set_message_handler(state, self._on_log)
                lib.span_log_set_level(state, 5)  # SPAN_LOG_FLOW

    # Exceptions cannot cross C frames: each callback keeps the first one for `_check` to raise.

    def _packet(self, core: int, user: int, octets: "c._Pointer[c.c_uint8]", length: int, copies: int) -> int:
        try:
            self._output.append((c.string_at(octets, length), copies))
        except Exception as why:
            self._failure = self._failure or why
        return 0

    def _phase_d(self, t30: int, user: int, code: int) -> int:
        self.pages_done += 1
        return 0

    def _phase_e(self, t30: int, user: int, code: int) -> None:
        self.completion = code

    def _frame(self, t30: int, user: int, incoming: int, octets: "c._Pointer[c.c_uint8]", length: int) -> None:
        try:
            frame = c.string_at(octets, length)
            self.frames.append(FrameSeen(bool(incoming), self._name(frame), frame))
            self.trained = self.trained or self.frames[-1].name == "CFR"
        except Exception as why:
            self._failure = self._failure or why

    def _name(self, frame: bytes) -> str:
        if len(frame) < 3:
            return "short"
        name = str(self._lib.t30_frametype(frame[2]).decode("ascii"))
        if name == "PPS" and len(frame) > 3:
            return "PPS-" + (self._lib.t30_frametype(frame[3]).decode("ascii") if frame[3] else "NULL")
        return name

    def _check(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def advance(self, now: float) -> None:
        """Let the terminal's time run up to `now`."""
        if self._started_at is None:
            self._started_at = now
        due = int((now - self._started_at) * SAMPLES_PER_SECOND + 0.5)
        while self._samples + STEP_SAMPLES <= due and self.completion is None:
            self._lib.t38_terminal_send_timeout(self._terminal, STEP_SAMPLES)
            self._samples += STEP_SAMPLES
        self._samples = max(self._samples, due - STEP_SAMPLES + 1)
        self._check()

    def receive_ifp(self, octets: bytes, sequence: int) -> None:
        """Take one IFP packet; libspandsp sees gaps and repeats by its sequence number."""
        self._lib.t38_core_rx_ifp_packet(self._core, octets, len(octets), sequence & 0xFFFF)
        self._check()

    def take_output(self) -> list[tuple[bytes, int]]:
        """IFP packets to send now, each with the number of copies (each copy under a number of its own)."""
        output, self._output = self._output, []
        return output

    def terminate(self) -> None:
        """Say that the call is gone."""
        self._lib.t30_terminate(self._t30)
        self._check()

    def seen(self, *, incoming: bool) -> list[str]:
        """Names of the T.30 frames of one direction, in order, without the page data frames."""
        return [frame.name for frame in self.frames if frame.incoming == incoming and frame.name not in ("FCD", "RCP")]

    def verdict(self) -> Verdict:
        """What libspandsp thinks of the fax so far."""
        numbers = Statistics()
        self._lib.t30_get_transfer_statistics(self._t30, c.byref(numbers))
        code = numbers.current_status if self.completion is None else self.completion
        ident = self._lib.t30_get_rx_ident(self._t30)
        return Verdict(
            ok=self.completion == 0,
            text=self._lib.t30_completion_code_to_str(code).decode("latin-1"),
            pages_sent=numbers.pages_tx,
            pages_received=numbers.pages_rx,
            remote_ident=ident.decode("latin-1") if ident else "",
            rate_bps=numbers.bit_rate,
            ecm=bool(numbers.error_correcting_mode),
            coding=CODING_NAMES.get(numbers.encoding, str(numbers.encoding)),
            bad_rows=numbers.bad_rows,
            ecm_retries=numbers.error_correcting_mode_retries,
        )

    def close(self) -> None:
        """Free the terminal (and close its TIFF). It must not be used afterwards."""
        if self._terminal:
            self._lib.t38_terminal_free(self._terminal)
            self._terminal = _state(None)
