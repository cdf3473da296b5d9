"""How one coordinator behaves; what belongs to a job is in its specification."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mapreduce.model import MIB
from mapreduce.scheduling.policy import Settings


class ServiceSettings(msgspec.Struct, frozen=True):
    """Built once by the host and passed down."""

    exit_when_idle: bool = False
    """Tell workers to end when no job is left (`mr run`); otherwise they wait for the next."""
    machine: Settings = msgspec.field(default_factory=Settings)
    """How leases and heartbeats are measured."""
    runs_folder: Path | None = None
    """Where jobs' runs lie, a folder of its own for each; None: in the state folder."""
    serves_data: bool = False
    """Workers of Peer jobs share no volume with this coordinator: inputs, replicas and outputs go through it."""
    secrets: Path | None = None
    """Folder of headers for inputs behind URLs: `INDEX/NAME` holds header NAME of input INDEX."""
    input_roots: tuple[Path, ...] = ()
    """Folders that no input file may lie outside of, links followed; empty: any file may be an input."""
    shown_root: str = ""
    """Folder below which a pod's volumes are: a status names them as the job's author did. Empty: by their paths."""
    command_name: str = ""
    """How a person's commands name this coordinator's job; empty: by its output folder or number."""
    owner: str = ""
    """What an output folder's owner record calls this coordinator; empty: the id of its log."""
    poll_s: float = 20.0
    """Longest time that a worker's call waits for a task; below the shortest lease a proxy would cut."""
    tick_s: float = 0.5
    """How often deadlines are looked at. A lease may end late by this much, never early."""
    snapshot_records: int = 200_000
    """Records after which the log is compacted; replaying so many takes about a second."""
    snapshot_bytes: int = 64 * MIB
    """Bytes after which the log is compacted, however few records they are: a failure with its traceback may be 35 KB.
    Two such stretches are kept: an eighth of a claim of 1 GiB."""
    low_water_bytes: int = 64 * MIB
    """Free space on the state folder's volume below which nothing more is granted until there is room."""
    event_backlog: int = 20_000
    """Attempts whose records are kept in memory for streams that reconnect; an older one gets the full state."""
    slow_sync_s: float = 1.0
    """An fsync longer than this is worth a warning."""
