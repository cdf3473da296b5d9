"""What the page shows of a job, for commands: from its coordinator while one lives, else from its log."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mapreduce.errors import Unreachable, UsageError
from mapreduce.local.paths import typed_folder
from mapreduce.page.messages import Frame, TimelinePage
from mapreduce.page.view import View, make_view
from mapreduce.typed import from_json
from mapreduce_cli.commands.logs import state_of
from mapreduce_cli.jobnames import Named, OfClaim, OfCluster, OfCoordinator, OfFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mapreduce.protocol.client import CoordinatorClient


def view_of(named: Named) -> View:
    """The job as it is, or as its log tells it. Raises UsageError where neither can be read from here."""
    match named:
        case OfFolder(folder):
            return view_of_folder(folder)
        case OfCoordinator(at, client, number):
            try:
                return view_of_coordinator(client, number)
            except Unreachable:
                if at.folder is None:
                    raise
                return view_of_log(at.folder, number, source=str(number))
        case OfCluster() as found:
            from mapreduce_cli.cluster.proxied import JOB_NUMBER, coordinator_client

            return view_of_coordinator(coordinator_client(found.jobs, found.job), JOB_NUMBER, source=found.command_name)
        case OfClaim(_, uri):
            raise UsageError(f"the job that wrote {uri} is gone, and its log with it")


def view_of_folder(folder: Path) -> View:
    """Of an output folder: `mr run` keeps its log in it, a coordinator elsewhere has it in its state folder."""
    state, number = state_of(folder)
    return view_of_log(state, number, source=typed_folder(folder))


def view_of_log(state: Path, number: int, *, source: str) -> View:
    """From the log below a state folder, whether or not somebody writes to it now. Raises UsageError, WALForeign."""
    from mapreduce.coordinator.offline import read_state

    found = read_state(state)
    job = found.state.jobs.get(number)
    if job is None:
        raise UsageError(f"the log in {state} knows no job {number}")
    return make_view(
        found.state, job, sequence=found.sequence, source=source, made_at=time.time(), store_id=found.store_id
    )


def view_of_coordinator(client: CoordinatorClient, number: int, *, source: str = "") -> View:
    """Asked of a coordinator: the first frame, and all columns."""
    with contextlib.closing(client.frames(number)) as frames:
        frame = frame_of(next(frames))
    if source:
        frame = msgspec.structs.replace(frame, source=source)
    pages: list[TimelinePage] = []
    start: int | None = 0
    while start is not None:
        page = from_json(client.timeline(number, start), TimelinePage)
        pages.append(page)
        start = page.next if page.next is None or page.next > start else None
    return View(frame, tuple(pages), time.time())


def frames_of(client: CoordinatorClient, number: int) -> Iterator[Frame]:
    """Frames for ever; ends by raising Unreachable."""
    for data in client.frames(number):
        yield frame_of(data)


def frame_of(data: bytes) -> Frame:
    """One frame. Raises Unreachable when something else was sent."""
    try:
        return from_json(data, Frame)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the coordinator speaks another language than this command ({error})") from None
