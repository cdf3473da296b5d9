"""Taking an output folder: looking into it, locking it, writing the owner record, deleting what is ours.

What may be done is decided in `local.ownership`; this module looks and carries out. It deletes only what that decision
names and the run's own state folder, and it undoes what it created when a run is refused after all.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import msgspec

from mapreduce.coordinator.statefiles import (
    ENDPOINT_FILE,
    LOCK_FILE,
    REPLACED_FILE,
    TOKEN_FILE,
    WORK_FOLDER,
    FolderLock,
    output_in_use,
    remove_temporaries,
    replace_file,
)
from mapreduce.errors import OutputRefused
from mapreduce.local.ownership import FolderView, StartFresh, decide_claim, decide_finished, decide_foreign
from mapreduce.local.paths import STATE_NAME, SUCCESS_NAME, OutputPaths, part_pattern
from mapreduce.local.success import read_success
from mapreduce.ownerrecord import InputEntry, OwnerRecord
from mapreduce.privatefolders import LINK_NAME, remove_private_folder
from mapreduce.typed import from_json
from mapreduce.wal.files import make_folder, sync_folder

#: Not a sign of anybody's work in a state folder: its lock, and what a coordinator of other folders may leave there.
_HARMLESS: Final = (LOCK_FILE, REPLACED_FILE, WORK_FOLDER)


def look_into(paths: OutputPaths) -> FolderView:
    """What lies in the output folder, without changing anything."""
    try:
        entries = sorted(entry.name for entry in paths.folder.iterdir())
    except FileNotFoundError:
        if paths.folder.is_symlink():
            raise OutputRefused(str(paths.folder), "is a link to nothing.", "Choose another folder with -o.") from None
        return FolderView(path=str(paths.folder))
    except NotADirectoryError:
        return FolderView(path=str(paths.folder), exists=True, is_folder=False)
    except OSError as error:
        raise OutputRefused(str(paths.folder), f"cannot be read ({error.strerror}).") from None
    owner, problem = _read_owner(paths.owner)
    others = tuple(name for name in entries if name != STATE_NAME)
    return FolderView(
        path=str(paths.folder),
        exists=True,
        entries=others,
        state_entries=_state_entries(paths) if STATE_NAME in entries else (),
        owner=owner,
        owner_problem=problem,
        is_complete=SUCCESS_NAME in entries,
        own_parts=_own_parts(paths, owner, others),
    )


@dataclass(slots=True)
class OutputClaim:
    """An output folder whose lock this process holds."""

    paths: OutputPaths
    lock: FolderLock
    created: list[Path] = field(default_factory=list)
    """Folders that were made for this claim, outermost first."""

    @classmethod
    def acquire(cls, paths: OutputPaths, *, overwrite: bool) -> Self:
        """Lock the folder, creating it if need be. Raises OutputRefused when it is not ours, finished, or in use."""
        view = look_into(paths)
        decide_foreign(view)
        if view.is_complete and _died_before_its_end(paths, view.owner):
            with contextlib.suppress(OSError):  # whoever may not write there is refused all the same
                _end_for_the_dead(paths)
        decide_finished(view, overwrite=overwrite)
        created: list[Path] = []
        try:
            make_folder(paths.state, created)
            lock = FolderLock.try_acquire(paths.state / LOCK_FILE)
        except OSError as error:
            _remove_folders(created)
            raise OutputRefused(str(paths.folder), f"cannot be written ({error.strerror}).") from None
        if lock is None:
            raise output_in_use(paths.folder, paths.state / LOCK_FILE)
        return cls(paths, lock, created)

    def settle(
        self,
        wanted: OwnerRecord,
        inputs: Sequence[InputEntry],
        *,
        name_template: str,
        overwrite: bool,
        restart: bool,
        may_resume: bool = True,
    ) -> tuple[OwnerRecord | None, str]:
        """Make the folder this job's: the record to resume (or None for a fresh start), and a notice for the user.

        After a fresh start the folder holds the lock, the owner record and the list of inputs, durably, and nothing
        else of ours. Raises OutputRefused.
        """
        view = look_into(self.paths)
        pattern = part_pattern(name_template)
        claim = decide_claim(
            view,
            wanted,
            new_inputs=inputs,
            old_inputs=self._old_inputs(),
            is_part={name: pattern.fullmatch(name) is not None for name in view.entries},
            overwrite=overwrite,
            restart=restart,
            may_resume=may_resume,
        )
        match claim:
            case StartFresh(delete=delete, notice=notice):
                self._wipe(view.owner, delete)
                self.write_owner(wanted)
                replace_file(self.paths.inputs, msgspec.json.encode(inputs))
                return None, notice
            case _:
                if not self.paths.inputs.exists():  # a kill came before it
                    replace_file(self.paths.inputs, msgspec.json.encode(inputs))
                return claim.owner, ""

    def write_owner(self, record: OwnerRecord) -> None:
        """Write the owner record durably."""
        replace_file(self.paths.owner, _encode(record))

    def undo(self) -> None:
        """Leave no trace of a run that was refused: what was there before stays, what was created goes."""
        remove_transient(self.paths)
        only_ours = self.paths.state in self.created
        self.lock.release(remove=only_ours)
        _remove_folders(self.created)

    def release(self) -> None:
        """Give the folder back; what is in it stays."""
        self.lock.release()

    def _wipe(self, owner: OwnerRecord | None, names: Sequence[str]) -> None:
        # The owner record stays until the new one replaces it: a kill at any point leaves a folder that the next run
        # knows as ours. It says first that there is nothing to resume, `_SUCCESS` goes next: from there on nobody takes
        # what is left for work or for a whole result.
        if owner is not None and not owner.end:
            self.write_owner(msgspec.structs.replace(owner, end="Cancelled"))
        self.paths.success.unlink(missing_ok=True)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self.paths.folder / name).unlink()
        sync_folder(self.paths.folder)
        for entry in sorted(self.paths.state.iterdir()):
            if entry.name not in (LOCK_FILE, self.paths.owner.name) and entry not in self.paths.transient:
                remove_tree(entry)
        sync_folder(self.paths.state)

    def _old_inputs(self) -> list[InputEntry] | None:
        try:
            return from_json(self.paths.inputs.read_bytes(), list[InputEntry])
        except (OSError, msgspec.DecodeError):
            return None


def remove_leftovers(paths: OutputPaths, *, keep_runs: bool) -> None:
    """After the end of a job: log, attempts' logs and code stay; what else nobody needs any more goes."""
    remove_tree(paths.attempts)
    remove_temporaries(paths.state, (ENDPOINT_FILE, TOKEN_FILE, paths.owner.name, paths.inputs.name))
    remove_temporaries(paths.folder, (SUCCESS_NAME,))
    for job in sorted(paths.jobs.glob("*")):
        remove_tree(job / "traces")
        if not keep_runs:
            remove_tree(job / "runs")


def remove_transient(paths: OutputPaths) -> None:
    """What belongs to worker processes goes; none of them may run any more."""
    remove_scratch(paths)
    for folder in paths.transient:
        remove_tree(folder)


def remove_scratch(paths: OutputPaths) -> None:
    """What workers kept for themselves goes, their folders for sockets too, which may lie elsewhere."""
    for link in paths.scratch.glob(f"*/*/{LINK_NAME}"):
        remove_private_folder(link.parent)
    remove_tree(paths.scratch)


def _died_before_its_end(paths: OutputPaths, owner: OwnerRecord | None) -> bool:
    """An `mr run` wrote this record and has not cleaned up: it says how it ended, and then its token goes, last of all.

    The record alone does not tell: the run's coordinator writes the end too, as soon as it knows it.
    """
    if owner is None or owner.state_folder:
        return False
    return not owner.end or (paths.state / TOKEN_FILE).exists()


def _end_for_the_dead(paths: OutputPaths) -> None:
    """A run was killed after its result was whole and before it had cleaned up: do that in its place."""
    lock = FolderLock.try_acquire(paths.state / LOCK_FILE)
    if lock is None:
        return  # it lives, and does so itself
    try:
        # Looked at once more: until now another run may have held the folder, and ended in order or begun anew.
        owner, _ = _read_owner(paths.owner)
        if owner is None or not _died_before_its_end(paths, owner) or read_success(paths.success) is None:
            return
        remove_transient(paths)
        remove_tree(paths.state / ENDPOINT_FILE)
        remove_leftovers(paths, keep_runs=_keeps_runs(paths, owner))
        replace_file(paths.owner, _encode(msgspec.structs.replace(owner, end="Complete")))
        remove_tree(paths.state / TOKEN_FILE)
    finally:
        lock.release()


def _keeps_runs(paths: OutputPaths, owner: OwnerRecord) -> bool:
    """Whether a finished job's runs were to stay: its submission says so, the owner record does not."""
    from mapreduce.coordinator.store import Store  # brings much along, and is seldom needed here

    submitted = Store(paths.state).submissions().get(owner.job)
    return submitted is not None and submitted.spec.storage.retain_runs == "Always"


def remove_tree(path: Path) -> None:
    """Delete a file or a whole folder of ours; one that has gone already is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _encode(record: OwnerRecord) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _read_owner(path: Path) -> tuple[OwnerRecord | None, str]:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as error:
        return None, str(error.strerror)
    try:
        return from_json(content, OwnerRecord), ""
    except ValueError as error:  # msgspec.DecodeError, and UnicodeDecodeError for bytes that are no text
        return None, str(error)


def _state_entries(paths: OutputPaths) -> tuple[str, ...]:
    try:
        entries = sorted(entry for entry in paths.state.iterdir() if entry not in paths.transient)
    except OSError:
        return (STATE_NAME,)
    return tuple(entry.name for entry in entries if entry.name not in _HARMLESS and not entry.name.endswith(".tmp"))


def _own_parts(paths: OutputPaths, owner: OwnerRecord | None, entries: Sequence[str]) -> frozenset[str]:
    """Entries that a job of ours published: those `_SUCCESS` lists; before it is written, those named like parts."""
    if owner is None:
        return frozenset()
    success = read_success(paths.success) or read_success(paths.state / REPLACED_FILE)
    if success is not None:
        return frozenset(success.parts) & frozenset(entries)
    pattern = part_pattern(str(owner.spec.get("output.nameTemplate", "part-{partition:05d}")))
    return frozenset(name for name in entries if pattern.fullmatch(name))


def _remove_folders(created: Sequence[Path]) -> None:
    for path in reversed(created):
        with contextlib.suppress(OSError):
            path.rmdir()
