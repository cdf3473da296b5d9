"""The output folder of a job, as the coordinator takes it: refused when it is not empty, claimed by an owner record.

Two jobs on one folder: exactly one gets it, by exclusive creation of the record. `mr run` decides about its own folder
before (resuming, overwriting: `mapreduce.local`); here a folder whose state folder is the coordinator's own is
accepted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mapreduce.coordinator.publish import SUCCESS_NAME
from mapreduce.coordinator.statefiles import replace_file, sync_folder
from mapreduce.coordinator.store import STATE_NAME, WORK_NAME
from mapreduce.errors import OutputRefused
from mapreduce.model import JobSpec
from mapreduce.ownerrecord import OwnerRecord, make_owner_record
from mapreduce.typed import from_json

#: The list of a result that is being removed, in our own folder.
_REPLACED_NAME: Final = "replaced.json"


@dataclass(frozen=True, slots=True)
class Claimant:
    """Which job of which coordinator wants the folder."""

    store_id: str
    state_folder: Path
    job: int
    name: str
    code: str
    is_new: bool = False
    """The job has not begun: a record of the same job is of an earlier life, whose log is gone."""


def claim_output(spec: JobSpec, claimant: Claimant) -> None:
    """Makes the output folder this job's. Blocking; repeatable by the same job.

    A job that begins anew goes on with a folder that is its own and holds no finished result.

    Raises:
        OutputRefused: the folder holds a finished or a foreign result, or belongs to another job, or cannot be written.
    """
    folder = Path(spec.output.uri)
    own = folder / STATE_NAME
    if is_same_folder(own, claimant.state_folder):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder, own, spec, claimant)
    except OutputRefused:
        raise
    except OSError as error:
        raise OutputRefused(str(folder), f"cannot be written ({error.strerror or error}).") from error


def _claim(folder: Path, own: Path, spec: JobSpec, claimant: Claimant) -> None:
    record = msgspec.structs.replace(
        make_owner_record(claimant.name, spec, code={}, code_digest=claimant.code, inputs=()),
        store_id=claimant.store_id,
        state_folder=str(claimant.state_folder),
        job=claimant.job,
    )
    known = read_owner(own / "owner.json")
    if known is not None and _is_of(known, claimant):
        if not claimant.is_new:
            return
        if not (folder / SUCCESS_NAME).exists() and not (own / _REPLACED_NAME).exists():
            _remove_entries(own, kept={"owner.json", WORK_NAME})
            replace_file(own / "owner.json", _encode(record))
            return
    names = sorted(entry.name for entry in folder.iterdir())
    if names == [STATE_NAME] and known is None and _is_unclaimed(own):
        (own / _REPLACED_NAME).unlink(missing_ok=True)
        names = []
    elif names == [STATE_NAME] and known is not None and known.end:
        _remove_entries(own, kept={WORK_NAME})  # a job of ours that ended without a result
        names = []
    has_result = (folder / SUCCESS_NAME).exists() or (own / _REPLACED_NAME).exists()
    if names and (known is None or spec.output.overwrite != "Replace" or not has_result):
        raise OutputRefused(
            str(folder),
            f"is not empty ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}).",
            "Choose another folder, or have a finished result of ours replaced (overwrite: Replace, --overwrite).",
        )
    if names:
        _remove_result(folder)
    own.mkdir(exist_ok=True)
    temporary = own / f".owner.json.{claimant.store_id}.{claimant.job}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(_encode(record))
            file.flush()
            os.fsync(file.fileno())
        (own / "owner.json").hardlink_to(temporary)  # whole, or not at all; and only one job's
    except FileExistsError:
        raise OutputRefused(str(folder), "another job has just taken it.", "Choose another folder.") from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(own)
    sync_folder(folder)


def _is_unclaimed(own: Path) -> bool:
    """Nothing is there but what an interrupted removal leaves, or a claim that was interrupted or is being made now."""
    harmless = {_REPLACED_NAME, WORK_NAME}
    return all(it.name in harmless or it.name.startswith(".owner.json.") for it in own.iterdir())


def note_end(spec: JobSpec, claimant: Claimant, end: str) -> None:
    """Writes into the owner record how the job ended. Blocking; a folder that is not this job's is left alone."""
    path = Path(spec.output.uri) / STATE_NAME / "owner.json"
    record = read_owner(path)
    if record is None or not _is_of(record, claimant):
        return
    with contextlib.suppress(OSError):
        replace_file(path, _encode(msgspec.structs.replace(record, end=end)))


def owns_output(spec: JobSpec, claimant: Claimant) -> bool:
    """The output folder is this job's still: its record says so, or it is the coordinator's own. Blocking."""
    own = Path(spec.output.uri) / STATE_NAME
    if is_same_folder(own, claimant.state_folder):
        return True
    record = read_owner(own / "owner.json")
    return record is not None and _is_of(record, claimant)


def is_same_folder(one: Path | str, other: Path | str) -> bool:
    """Both paths lead to one place, however they are spelt; neither needs to exist."""
    return os.path.realpath(one) == os.path.realpath(other)


def _is_of(record: OwnerRecord, claimant: Claimant) -> bool:
    return (record.store_id, record.job) == (claimant.store_id, claimant.job)


def read_owner(path: Path) -> OwnerRecord | None:
    """The owner record at `path`, or None."""
    try:
        return from_json(path.read_bytes(), OwnerRecord)
    except (OSError, msgspec.DecodeError):
        return None


def _encode(record: OwnerRecord) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _remove_result(folder: Path) -> None:
    """Removes a finished result of ours: what its `_SUCCESS` lists, then our own folder. Nothing else is touched.

    The list is set aside first and goes last, so that an interrupted removal can go on.
    """
    own = folder / STATE_NAME
    replaced = own / _REPLACED_NAME
    if (folder / SUCCESS_NAME).exists():
        (folder / SUCCESS_NAME).replace(replaced)
    success: Any = msgspec.json.decode(replaced.read_bytes())
    for name in success.get("parts", {}):
        if isinstance(name, str) and "/" not in name:
            (folder / name).unlink(missing_ok=True)
    _remove_entries(own, kept={"owner.json", _REPLACED_NAME, WORK_NAME})
    (own / "owner.json").unlink(missing_ok=True)
    replaced.unlink()


def _remove_entries(folder: Path, kept: Collection[str]) -> None:
    for entry in folder.iterdir():
        if entry.name in kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
