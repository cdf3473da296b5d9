"""How one agent behaves; built once from the command line and passed down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapreduce.model import GIB, JobSpec
from mapreduce.protocol.endpoint import Endpoint
from mapreduce_worker.agent.pace import SessionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
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
    last_word_s: float = 0.7
    """How long, after that, the agent tries to give back what it holds."""
    serve_host: str = "127.0.0.1"
    """Address on which this worker serves its runs (Peer shuffle)."""
    serve_port: int = 0
    """Its port; 0 takes a free one."""
    serve_url: str = ""
    """URL under which others reach that server; made from host and port when empty."""
    hello_s: float = 60.0
    """Within this time a started executor must say hello."""
    tick_s: float = 0.05
    """How often the output and the run time of running attempts are looked at."""
    memory_check_s: float = 0.5
    """How often their memory is."""
    session: SessionSettings = field(default_factory=SessionSettings)


def memory_limit_bytes(spec: JobSpec) -> int:
    """Private memory at which an executor of this job is ended: as asked for, or 4 times the budget, at least 1 GiB."""
    return spec.workers.memory_limit_bytes or max(GIB, 4 * spec.workers.memory_budget_bytes)
