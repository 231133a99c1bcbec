"""What the service says of its devices and jobs, as values.

Owns      reading them. `data` of each holds all that came, by the names of docs/api.md.
Not here  asking for them (service.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vfax.client.errors import ServiceUnavailable
from vfax.fsp.constants import DWORD_MAX, DeviceState, JobStatusEnum
from vfax.fsp.errors import InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device (FAX_PORT_INFO). `job`: the number of the job that uses it, or None."""

    id: int
    name: str
    state: DeviceState
    receive: bool
    send: bool
    job: int | None
    data: Mapping[str, object] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, data: object) -> "Device":
        """Raises ServiceUnavailable for what is none."""
        found = _mapping(data)
        try:
            job = found["job"]
            return cls(
                id=int(str(found["id"])),
                name=str(found["name"]),
                state=DeviceState[str(found["state"])],
                receive=bool(found["receive"]),
                send=bool(found["send"]),
                job=None if job is None else int(str(job), 16),
                data=found,
            )
        except (KeyError, ValueError) as why:
            raise _nonsense(why) from why


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job (FAX_JOB_ENTRY). `status` is without the modifiers `paused` and `no_line`."""

    id: int
    status: JobStatusEnum
    paused: bool
    no_line: bool
    owner: str
    number: str
    attempts: int
    sentence: str
    data: Mapping[str, object] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Eight hexadecimal digits."""
        return f"{self.id:08x}"

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.data.get("ended") is not None

    @classmethod
    def read(cls, data: object) -> "Job":
        """Raises ServiceUnavailable for what is none."""
        found = _mapping(data)
        try:
            return cls(
                id=int(str(found["job"]), 16),
                status=JobStatusEnum[str(found["status"])],
                paused=bool(found["paused"]),
                no_line=bool(found["no_line"]),
                owner=str(found["owner"]),
                number=str(_mapping(found["recipient"])["number"]),
                attempts=int(str(found["attempts"])),
                sentence=str(found["sentence"]),
                data=found,
            )
        except (KeyError, ValueError) as why:
            raise _nonsense(why) from why


def job_number(job: object) -> int:
    """The number of a job: a Job, or a DWORD that can be one. Raises InvalidParameter."""
    if isinstance(job, Job):
        return job.id
    if not isinstance(job, int) or isinstance(job, bool):
        raise InvalidParameter(f"JobId: a number or a Job is expected, not {type(job).__name__}")
    if not 0 < job < DWORD_MAX:
        raise InvalidParameter(f"JobId: {job} is outside 1..0xFFFFFFFE")
    return job


def rows(answer: object, name: str) -> list[object]:
    """The list of that name in an answer. Raises ServiceUnavailable when there is none."""
    found = _mapping(answer).get(name)
    if not isinstance(found, list):
        raise _nonsense(name)
    return found


def _mapping(data: object) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise _nonsense(type(data).__name__)
    return data


def _nonsense(why: object) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the service answers what this client does not understand ({why}): are both one version?"
    )
