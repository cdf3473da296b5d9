"""Whether the volume of a run has room for what was predicted."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mapreduce.errors import UsageError
from mapreduce.local.preflight import LEAST_FREE_BYTES
from mapreduce.model import ClaimTemplate, JobSpec
from mapreduce.units import format_size
from mapreduce_cli.planning.predicting import Prediction

#: Predictions are that wrong, and a volume that is full stops a job.
_MARGIN: Final = 1.1
_QUANTITY: Final = re.compile(r"([0-9]+)(Ki|Mi|Gi|Ti|Pi)?")
_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


@dataclass(frozen=True, slots=True)
class Room:
    """What a volume offers."""

    where: str
    bytes: int


def room_for(spec: JobSpec, *, asked_bytes: int | None, is_here: bool) -> Room | None:
    """The room for runs (and here, for the output); None where nothing is known of the volume."""
    if asked_bytes is not None:
        return Room("the volume", asked_bytes)
    if not is_here:
        volume = spec.storage.runs if spec.storage.runs.claim_template is not None else spec.storage.log
        if volume.claim_name is not None or spec.storage.runs.claim_name is not None:
            return None
        size = (volume.claim_template or ClaimTemplate()).size
        return Room(f"the claim of {size} for runs", _bytes_of(size))
    folder = Path(os.path.abspath(spec.output.uri))  # noqa: PTH100 - resolve() would follow links
    while not folder.exists():
        folder = folder.parent
    facts = os.statvfs(folder)
    return Room(f"the volume of {folder}", max(0, facts.f_bavail * facts.f_frsize - LEAST_FREE_BYTES))


def check_room(prediction: Prediction, room: Room, *, is_here: bool) -> None:
    """Refuse a run that would fill its volume. Raises UsageError."""
    needed = prediction.volume_bytes if is_here else prediction.run_bytes
    if needed * _MARGIN > room.bytes:
        holds = "runs and output" if is_here else "runs"
        raise UsageError(
            f"{room.where} is too small: {format_size(needed)} of {holds} are predicted, and it has room for "
            f"{format_size(room.bytes)}; choose a larger one, add a combiner, or run parts of the input one by one"
        )


def _bytes_of(quantity: str) -> int:
    """Bytes of a size as the model allows it."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None, "the model checks it"
    return int(match[1]) << (10 * _UNITS.index(match[2] or ""))
