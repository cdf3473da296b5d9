"""Whose output folder is it, and may this run use it: the rules of resuming, overwriting and refusing. Pure.

An output folder belongs to the run whose owner record lies in it. The record says what the result is made from: the
fields of the specification that can change it, the code, and the input files. The same three again mean *resume*;
others mean that committed work would be mixed with foreign work, so the run is refused and told what changed. What is
not ours is never touched. Looking at folders, locking and deleting is `local.claiming`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mapreduce.errors import OutputRefused
from mapreduce.local.changes import describe_changes, some_names
from mapreduce.ownerrecord import InputEntry, OwnerRecord


class FolderView(msgspec.Struct, frozen=True):
    """What was found in an output folder."""

    path: str
    exists: bool = False
    is_folder: bool = True
    entries: tuple[str, ...] = ()
    """Names in it, without our own state folder."""
    state_entries: tuple[str, ...] = ()
    """Names in our state folder, without the lock."""
    owner: OwnerRecord | None = None
    owner_problem: str = ""
    """Why the owner record cannot be read, if there is one that cannot."""
    is_complete: bool = False
    """`_SUCCESS` lies there."""
    own_parts: frozenset[str] = frozenset()
    """Those of `entries` that a job of ours wrote."""


class StartFresh(msgspec.Struct, frozen=True):
    """Begin from nothing, after deleting `delete` (names in the output folder) and our state, if any."""

    delete: tuple[str, ...] = ()
    notice: str = ""


class Resume(msgspec.Struct, frozen=True):
    """Go on with the unfinished job of the same digests."""

    owner: OwnerRecord


Claim = StartFresh | Resume


def decide_foreign(view: FolderView) -> None:
    """Refuse a folder that is not ours at all; cheap, done before anything is created. Raises OutputRefused."""
    if not view.exists:
        return
    if not view.is_folder:
        raise OutputRefused(view.path, "is a file, not a folder.", "Choose another folder with -o.")
    if view.owner_problem:
        raise OutputRefused(
            view.path,
            f"its owner record cannot be read ({view.owner_problem}).",
            "Nothing was touched; choose another folder.",
        )
    if view.owner is None and (view.entries or view.state_entries):
        names = view.entries or ("_mapreduce",)
        raise OutputRefused(
            view.path,
            f"is not empty ({some_names(names)}) and holds no result of ours.",
            "Nothing in it was touched; choose another folder.",
        )


def decide_finished(view: FolderView, *, overwrite: bool) -> None:
    """Refuse to replace a finished result unasked. Raises OutputRefused."""
    if view.is_complete and not overwrite:
        owner = f" of job {view.owner.job_name!r}" if view.owner is not None and view.owner.job_name else ""
        raise OutputRefused(view.path, f"holds a finished result{owner}.", "Add --overwrite to replace it.")


def decide_claim(
    view: FolderView,
    wanted: OwnerRecord,
    *,
    new_inputs: Sequence[InputEntry],
    old_inputs: Sequence[InputEntry] | None,
    is_part: Mapping[str, bool],
    overwrite: bool,
    restart: bool,
    may_resume: bool = True,
) -> Claim:
    """What to do with the folder, now that this process holds its lock.

    `is_part` tells which entries have a name that the new job would give to a part; `may_resume`, whether this run can
    go on with the work of another. Raises OutputRefused, whose message says what changed and which option helps.
    """
    decide_foreign(view)
    decide_finished(view, overwrite=overwrite)
    owner = view.owner
    if owner is None:
        return StartFresh()
    if owner.state_folder and not view.is_complete and not owner.end:
        raise OutputRefused(
            view.path,
            f"job {owner.job_name!r} of the coordinator at {owner.state_folder} is writing to it.",
            "Wait for that job or cancel it, or choose another folder.",
        )
    has_work = not view.is_complete and not owner.end and not owner.mode  # in one process nothing is committed
    if has_work and not restart:
        if not may_resume:
            raise OutputRefused(
                view.path,
                "holds an unfinished run, whose committed work this one would delete.",
                "The `mr run` that began it resumes it; choose another folder with -o, or add --restart to begin anew.",
            )
        changes = describe_changes(owner, wanted, old_inputs=old_inputs, new_inputs=new_inputs)
        if not changes:
            return Resume(owner)
        raise OutputRefused(
            view.path,
            "holds an unfinished job, and this one is another: " + "; ".join(changes) + ".",
            "Run the first one again to finish it, or add --restart to drop its work.",
        )
    in_the_way = [name for name, matches in is_part.items() if matches and name not in view.own_parts]
    if in_the_way:
        raise OutputRefused(
            view.path,
            f"{some_names(in_the_way)} was not written by us and has the name of a part of this job.",
            "Move it away, or choose another folder or --name-template.",
        )
    notice = (
        f"the run before {_how_it_ended(owner.end)}; starting from the beginning"
        if owner.end in ("Failed", "Cancelled")
        else ""
    )
    return StartFresh(delete=tuple(sorted(view.own_parts)), notice=notice)


def _how_it_ended(end: str) -> str:
    return "failed" if end == "Failed" else "was cancelled"
