"""How one agent behaves; built once from the command line and passed down."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mapreduce.model import GIB, JobSpec
from mapreduce.protocol.endpoint import Endpoint
from mapreduce_worker.agent.pace import SessionSettings
from mapreduce_worker.agent.places import WorkFolder


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an agent is told at its start."""

    endpoint: Endpoint
    worker: str
    """This worker's name: unique for ever, so that no two processes are taken for one."""
    scratch: Path
    """A folder that is the agent's own; removed at its end."""
    slots: int = 1
    parent_descriptor: int | None = None
    """Read end of a pipe: at its end of file the agent and all it has started end at once."""
    reconnect_s: float = 600.0
    """How long the coordinator may be away."""
    grace_s: float = 2.0
    """How long attempts may still run after SIGTERM."""
    replica_grace_s: float = 0.0
    """How long the agent may stay after SIGTERM for runs that nobody else has, while the coordinator takes them."""
    last_word_s: float = 0.7
    """How long, after that, the agent tries to give back what it holds."""
    serve_host: str = "127.0.0.1"
    """Address on which this worker serves its runs (Peer shuffle)."""
    serve_port: int = 0
    """Its port; 0 takes a free one."""
    serve_url: str = ""
    """URL under which others reach that server; made from host and port when empty."""
    work: WorkFolder | None = None
    """Folder that executors in a container of their own write to; None: they write where files stay."""
    output_work: WorkFolder | None = None
    """The same for outputs, where those lie on another volume than the runs."""
    secrets: Path | None = None
    """Folder of headers for inputs by URL: `INDEX/NAME` holds the value of header NAME for input INDEX."""
    host_away_s: float = 10.0
    """After this long without a container of executors, attempts that wait for it are given back."""
    hello_s: float = 60.0
    """Within this time a started executor must say hello."""
    stuck_s: float = 30.0
    """After this long without a turn of its main loop the agent counts as stuck (`/livez`)."""
    tick_s: float = 0.05
    """How often the output and the run time of running attempts are looked at."""
    memory_check_s: float = 0.5
    """How often their memory is."""
    session: SessionSettings = msgspec.field(default_factory=SessionSettings)


#: Part of a container's memory that its executors may use; the rest is the host's, and what they share.
_EXECUTORS_PART = 0.9


def container_share_bytes(container_bytes: int, slots: int) -> int:
    """Private memory at which one of `slots` executors is ended so that their container is not; 0: no limit."""
    return int(container_bytes * _EXECUTORS_PART) // slots


def data_limit_bytes(container_bytes: int) -> int:
    """Memory that an executor may ask the system for; 0: no limit.

    Far above what its container may use, because stacks of threads count in full: this catches only what can never
    work, such as a list of a billion.
    """
    return max(4 * container_bytes, container_bytes + 16 * GIB) if container_bytes else 0


def memory_limit_bytes(spec: JobSpec) -> int:
    """Private memory at which an executor of this job is ended: as asked for, or 4 times the budget, at least 1 GiB."""
    return spec.workers.memory_limit_bytes or max(GIB, 4 * spec.workers.memory_budget_bytes)
