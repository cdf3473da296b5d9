"""The state that a log tells, read without claiming it and without writing: for questions about jobs nobody serves."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mapreduce.coordinator.statefiles import LOG_FOLDER
from mapreduce.errors import UsageError, WALForeign
from mapreduce.scheduling import records as r
from mapreduce.scheduling import snapshot
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.state import State
from mapreduce.wal.files import LocalFiles
from mapreduce.wal.recovery import read_log


class Offline(msgspec.Struct, frozen=True):
    """What a log tells; with `rot` only of its trusted beginning."""

    state: State
    rot: str
    sequence: int
    """Of the last record."""
    store_id: str = ""
    """The log's id, in hex."""


def read_state(folder: Path) -> Offline:
    """The state in the log below a state folder. Raises UsageError when there is none, WALForeign."""
    try:
        image = read_log(LocalFiles(), str(folder / LOG_FOLDER))
    except OSError as error:
        raise UsageError(f"{folder} holds no log that can be read: {error.strerror or error}") from None
    state = snapshot.load(image.state) if image.state else State()
    sequence = image.snapshot.sequence if image.snapshot is not None else 0
    for sequence, payload in image.records:
        try:
            record = r.decode(payload)
        except msgspec.DecodeError as error:
            raise WALForeign(
                f"record {sequence} of the log is none that this release knows ({error}); use the release that wrote it"
            ) from error
        evolve(state, record)
    return Offline(state, image.rot or "", sequence, (image.survey.store_id or b"").hex())
