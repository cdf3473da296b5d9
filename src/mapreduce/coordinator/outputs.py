"""The output folder of a job, as the coordinator takes it: refused when it is not empty, claimed by an owner record.

Two jobs on one folder: exactly one gets it, by exclusive creation of the record. `mr run` decides about its own folder
before (resuming, overwriting: `mapreduce.local`); here a folder whose state folder is the coordinator's own is
accepted.

Taking a folder over from a job that has ended may be killed at any step, and then whoever comes next has to know the
folder as ours. So it is never without an owner record:

1. The record says that its job has ended; from here on nobody resumes it.
2. `_SUCCESS` becomes `_mapreduce/replaced.json`, the list of what has to go (only where there is a result).
3. The listed parts go, then all of `_mapreduce` but the record and the list.
4. The new record takes the old one's place, by one rename.
5. The list goes.

Killed before 4: an ended job's folder, which the same job, another one that may replace, and `mr run` take over, going
on with the list. Killed after it: the new job's, which removes the list when it claims again. So a list beside a record
without an end is a left-over, and one beside a record with an end says that there is still something to remove.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from mapreduce.coordinator.publish import SUCCESS_NAME
from mapreduce.coordinator.statefiles import (
    LOCK_FILE,
    REPLACED_FILE,
    WORK_FOLDER,
    FolderLock,
    output_in_use,
    replace_file,
)
from mapreduce.coordinator.store import STATE_NAME
from mapreduce.errors import OutputRefused
from mapreduce.model import JobSpec, Output
from mapreduce.ownerrecord import OwnerRecord, make_owner_record
from mapreduce.typed import from_json
from mapreduce.wal.files import make_folder, sync_folder

_OWNER_NAME: Final = "owner.json"


class _Result(msgspec.Struct, frozen=True):
    """What removing a result needs of its `_SUCCESS`."""

    parts: dict[str, Any] = {}


class Claimant(msgspec.Struct, frozen=True):
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
        make_folder(folder)
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
    known = read_owner(own / _OWNER_NAME)
    has_success = (folder / SUCCESS_NAME).exists()
    is_half_removed = (own / REPLACED_FILE).exists() and _has_ended(own, known)
    if known is not None and _is_of(known, claimant):
        if not claimant.is_new:
            for name in (REPLACED_FILE, LOCK_FILE):  # a kill came just after the record was written
                (own / name).unlink(missing_ok=True)
            return
        if not has_success and not is_half_removed:
            _remove_entries(own, kept={_OWNER_NAME, WORK_FOLDER})
            replace_file(own / _OWNER_NAME, _encode(record))
            return
    names = sorted(entry.name for entry in folder.iterdir())
    if not names or (names == [STATE_NAME] and known is None and _is_unclaimed(own)):
        own.mkdir(exist_ok=True)
        _create_record(folder, own, record, claimant)
        (own / REPLACED_FILE).unlink(missing_ok=True)  # an earlier release removed the record first
        return
    is_without_result = names == [STATE_NAME] and known is not None and known.end != ""
    has_result = (has_success and known is not None) or is_half_removed
    if not is_without_result and (spec.output.overwrite != "Replace" or not has_result):
        raise OutputRefused(
            str(folder),
            f"is not empty ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}).",
            "Choose another folder, or have a finished result of ours replaced (overwrite: Replace, --overwrite).",
        )
    with _alone_in(folder, own):
        _check_unchanged(folder, own, known)
        if not is_without_result:
            known = _remove_result(folder, own, known)
        _remove_entries(own, kept={_OWNER_NAME, REPLACED_FILE, WORK_FOLDER, LOCK_FILE})
        if known is None:
            _create_record(folder, own, record, claimant)
        else:
            _check_unchanged(folder, own, known)  # once more, for file systems without locks
            replace_file(own / _OWNER_NAME, _encode(record))
        (own / REPLACED_FILE).unlink(missing_ok=True)
        sync_folder(own)


def _has_ended(own: Path, known: OwnerRecord | None) -> bool:
    """The record's job has ended: whoever left the list beside it was still removing a result.

    An earlier release removed the record before the list; a record that cannot be read may be anybody's.
    """
    return known.end != "" if known is not None else not (own / _OWNER_NAME).exists()


@contextlib.contextmanager
def _alone_in(folder: Path, own: Path) -> Iterator[None]:
    """Nobody else takes the folder over meanwhile, and no `mr run` is in it: one that has ended may still clean up.

    Raises OutputRefused when somebody is.
    """
    was_there = (own / LOCK_FILE).exists()
    try:
        lock = FolderLock.try_acquire(own / LOCK_FILE)
    except OSError:  # a file system without locks, on which no `mr run` was either; or another user's lock
        yield
        return
    if lock is None:
        raise output_in_use(folder, own / LOCK_FILE)
    try:
        yield
    except OutputRefused:  # then the folder is left as it was
        lock.release(remove=not was_there)
        raise
    finally:
        lock.release(remove=True)


def _check_unchanged(folder: Path, own: Path, known: OwnerRecord | None) -> None:
    """Raises OutputRefused when the folder is another job's by now; that its own job has noted its end is no matter."""
    if _without_end(read_owner(own / _OWNER_NAME)) != _without_end(known):
        raise _taken(folder)


def _without_end(record: OwnerRecord | None) -> OwnerRecord | None:
    return None if record is None else msgspec.structs.replace(record, end="")


def _taken(folder: Path) -> OutputRefused:
    return OutputRefused(str(folder), "another job has just taken it.", "Choose another folder.")


def _create_record(folder: Path, own: Path, record: OwnerRecord, claimant: Claimant) -> None:
    """The first record of a folder. Raises OutputRefused when there is one by now."""
    temporary = own / f".owner.json.{claimant.store_id}.{claimant.job}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(_encode(record))
            file.flush()
            os.fsync(file.fileno())
        (own / _OWNER_NAME).hardlink_to(temporary)  # whole, or not at all; and only one job's
    except FileExistsError:
        raise _taken(folder) from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(own)
    sync_folder(folder)


def _is_unclaimed(own: Path) -> bool:
    """Nothing is there but what an interrupted removal leaves, or a claim that was interrupted or is being made now."""
    harmless = {REPLACED_FILE, WORK_FOLDER}
    return all(it.name in harmless or it.name.startswith(".owner.json.") for it in own.iterdir())


def note_end(spec: JobSpec, claimant: Claimant, end: str) -> None:
    """Writes into the owner record how the job ended. Blocking; a folder that is not this job's is left alone."""
    path = Path(spec.output.uri) / STATE_NAME / _OWNER_NAME
    record = read_owner(path)
    if record is None or not _is_of(record, claimant) or record.end == end:  # noted: it may be taken over by now
        return
    with contextlib.suppress(OSError):
        replace_file(path, _encode(msgspec.structs.replace(record, end=end)))


def give_up_output(folder: Path, store_id: str, pods: str) -> None:
    """Removes what a job left that is deleted: its claim, its attempts, and parts of a result that has no `_SUCCESS`.

    Blocking; repeatable. A finished result stays as it is, with its record. In a folder that is another job's by now,
    or nobody's, only the work folders go of pods whose names begin with `pods`.

    Raises:
        OSError: something cannot be removed. The folder may be taken over all the same: its record says that the job
        ended, before anything else is done.
    """
    own = folder / STATE_NAME
    known = read_owner(own / _OWNER_NAME)
    if known is not None and known.store_id == store_id:
        with contextlib.suppress(OutputRefused), _alone_in(folder, own):  # refused: somebody is taking it over
            _give_up(folder, own, known)
    for work in (own / WORK_FOLDER).glob(f"{glob.escape(pods)}*"):
        shutil.rmtree(work)
    for emptied in (own / WORK_FOLDER, own):
        with contextlib.suppress(OSError):  # it is not there, or others have something in it
            emptied.rmdir()


def _give_up(folder: Path, own: Path, known: OwnerRecord) -> None:
    _check_unchanged(folder, own, known)
    has_success = (folder / SUCCESS_NAME).exists()
    if not has_success and known.end and (own / REPLACED_FILE).exists():
        return  # whoever was removing this job's result goes on with the list
    if not known.end:
        known = msgspec.structs.replace(known, end="Complete" if has_success else "Cancelled")
        replace_file(own / _OWNER_NAME, _encode(known))
    if not has_success:  # the folder was empty when it was claimed: files named like parts are this job's
        template = known.spec.get("output.nameTemplate", Output(uri=str(folder)).name_template)
        for entry in folder.iterdir():
            if _is_part(entry.name, template) or fnmatch.fnmatch(entry.name, f".{SUCCESS_NAME}.*.tmp"):
                entry.unlink()
        sync_folder(folder)
    _remove_entries(own, kept={_OWNER_NAME, WORK_FOLDER, LOCK_FILE})
    if not has_success:
        (own / LOCK_FILE).unlink(missing_ok=True)
        (own / _OWNER_NAME).unlink()  # last: without it nobody would know the rest as ours


def _is_part(name: str, template: str) -> bool:
    return any(template.format(partition=int(digits)) == name for digits in re.findall(r"\d+", name))


def owns_output(spec: JobSpec, claimant: Claimant) -> bool:
    """The output folder is this job's still: its record says so, or it is the coordinator's own. Blocking."""
    own = Path(spec.output.uri) / STATE_NAME
    if is_same_folder(own, claimant.state_folder):
        return True
    record = read_owner(own / _OWNER_NAME)
    return record is not None and _is_of(record, claimant)


def is_same_folder(one: Path | str, other: Path | str) -> bool:
    """Both paths lead to one place, however they are spelt; neither needs to exist."""
    return os.path.realpath(one) == os.path.realpath(other)


def _is_of(record: OwnerRecord, claimant: Claimant) -> bool:
    return (record.store_id, record.job) == (claimant.store_id, claimant.job)


def read_owner(path: Path) -> OwnerRecord | None:
    """The owner record at `path`, or None when there is none that can be read."""
    try:
        return from_json(path.read_bytes(), OwnerRecord)
    except (OSError, ValueError):  # msgspec.DecodeError, and UnicodeDecodeError for bytes that are no text
        return None


def _encode(record: OwnerRecord) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _remove_result(folder: Path, own: Path, known: OwnerRecord | None) -> OwnerRecord | None:
    """Removes the parts that a finished result's `_SUCCESS` lists, durably; the record, which says by now how it ended.

    Raises OutputRefused, before anything was changed, when the list cannot be read.
    """
    success, replaced = folder / SUCCESS_NAME, own / REPLACED_FILE
    is_whole = success.exists()
    names = _listed_parts(folder, success if is_whole else replaced)
    if known is not None and not known.end:
        known = msgspec.structs.replace(known, end="Complete")
        replace_file(own / _OWNER_NAME, _encode(known))
    if is_whole:
        success.replace(replaced)
        sync_folder(own)  # a power cut that keeps the removal of a part keeps the list too
        sync_folder(folder)
    for name in names:
        if "/" not in name:
            (folder / name).unlink(missing_ok=True)
    sync_folder(folder)
    return known


def _listed_parts(folder: Path, path: Path) -> Collection[str]:
    try:
        return from_json(path.read_bytes(), _Result).parts
    except ValueError as error:  # msgspec.DecodeError, and UnicodeDecodeError for bytes that are no text
        raise OutputRefused(
            str(folder),
            f"{path.relative_to(folder)} cannot be read ({error}), so nobody knows what belongs to the old result.",
            "Delete that result by hand, or choose another folder.",
        ) from None


def _remove_entries(folder: Path, kept: Collection[str]) -> None:
    for entry in folder.iterdir():
        if entry.name in kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
