"""What a job's pods are given, and how they say that something is wrong: shared by `podprepare` and `coordinator.pod`.

The operator writes `job.json` (and `job.py` for code that is no module and lies on no volume) into an immutable
ConfigMap before it starts anything, so every start of a pod sees the same job.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.errors import (
    InvalidInput,
    InvalidJobSpec,
    InvalidUserCode,
    MapReduceError,
    OutputRefused,
    StorageFailed,
    WALForeign,
)
from mapreduce.model import JobSpec
from mapreduce.typed import convert

JOB_FILE: Final = "job.json"
CODE_FILE: Final = "job.py"
DESCRIPTION_FILE: Final = "description.json"
BUNDLE_FILE: Final = "bundle.zip"

#: Exit code of a pod's process for what no restart mends.
NEVER: Final = 2
#: Kubernetes keeps 4096 bytes of a termination message.
_MAX_MESSAGE_BYTES: Final = 3_500

_REASONS: Final[dict[type[MapReduceError], str]] = {
    InvalidUserCode: "InvalidCode",
    InvalidInput: "InvalidInput",
    InvalidJobSpec: "InvalidSpec",
    OutputRefused: "OutputExists",
    WALForeign: "WALForeign",
}


class PodJob(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `job.json`."""

    name: str
    namespace: str
    uid: str
    spec: JobSpec


class Termination(msgspec.Struct, frozen=True, kw_only=True):
    """The termination message of a container, for the operator."""

    reason: str
    message: str


def read_job(folder: Path) -> PodJob:
    """The job that the operator wrote. Raises InvalidJobSpec; StorageFailed when it is not there."""
    from mapreduce import specerrors

    path = folder / JOB_FILE
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InvalidJobSpec(str(path), f"is no JSON ({error}).") from None
    try:
        return convert(raw, PodJob)
    except msgspec.ValidationError as error:
        raise specerrors.in_words(error, raw, PodJob) from None


def reason_of(error: MapReduceError) -> str:
    """The reason that the operator shows for what no restart mends; empty for what one may."""
    if isinstance(error, OutputRefused) and isinstance(error.__cause__, OSError):
        return ""  # the volume, not what is on it
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "")


def reason_named(error: str) -> str:
    """The same for a job that ended by the error of that name; any other word stays as it is."""
    return next((reason for kind, reason in _REASONS.items() if kind.__name__ == error), error)


def leave_message(path: Path, reason: str, message: str) -> None:
    """Write a termination message. Never raises: a message that cannot be left must not hide what it says."""
    text = message.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore")
    with contextlib.suppress(OSError):
        path.write_bytes(msgspec.json.encode(Termination(reason=reason, message=text)) + b"\n")


def write_file(path: Path, content: bytes) -> None:
    """Write a file that appears whole, readable for its group."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
