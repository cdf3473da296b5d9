"""`python -m mapreduce_worker`: reads the command line, starts an agent, ends with its exit code.

0 no work is left, 2 wrong usage, 3 no coordinator for longer than --reconnect-s, 143 told to end. The executors are
started before anything else is imported, so that both sides come up at the same time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mapreduce_worker.agent.processes import ExecutorProcess, SocketFolder, slot_folder, start_executor

if TYPE_CHECKING:
    from mapreduce.protocol.endpoint import Endpoint
    from mapreduce_worker.agent.agent import Agent
    from mapreduce_worker.agent.settings import AgentSettings

EXIT_USAGE = 2
EXIT_FAILED = 3
EXIT_TERMINATED = 143


def main(arguments: list[str] | None = None) -> int:
    """Run a worker; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not 1 <= given.slots <= 1_024:
        parser.error(f"--slots {given.slots}: give a number from 1 to 1024.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    worker = _worker_name(given.name)
    executors: list[ExecutorProcess] = []
    try:
        scratch = _scratch(given.scratch, worker)
        sockets = SocketFolder(scratch)
        executors += (start_executor(sockets, slot_folder(scratch, index)) for index in range(given.slots))
        return _run(given, worker, scratch, sockets, executors)
    except OSError as error:
        sys.stderr.write(f"The worker cannot go on: {error}\n")
        return EXIT_FAILED
    finally:
        for executor in executors:
            executor.end()


def _run(
    given: argparse.Namespace, worker: str, scratch: Path, sockets: SocketFolder, executors: list[ExecutorProcess]
) -> int:
    from mapreduce.errors import UsageError
    from mapreduce_worker.agent.agent import Agent
    from mapreduce_worker.agent.jobs import remove_tree

    try:
        agent = Agent(_settings(given, worker, scratch), sockets, executors)
        signal.signal(signal.SIGTERM, lambda *_: agent.ask_to_end())
        _end_with_any_thread(agent)
        # of a worker that was started by another process Ctrl-C is that process's business
        is_child = given.parent_fd is not None
        signal.signal(signal.SIGINT, signal.SIG_IGN if is_child else lambda *_: agent.ask_to_end())
        return agent.run()
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    finally:
        remove_tree(scratch)


def _end_with_any_thread(agent: Agent) -> None:
    """A thread that dies of a bug takes the worker along: without it the worker would beat on and do nothing."""
    show = threading.excepthook

    def show_and_end(died: threading.ExceptHookArgs) -> None:
        show(died)
        agent.ask_to_end()

    threading.excepthook = show_and_end


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mapreduce_worker", description="Runs tasks for a MapReduce coordinator until none are left."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--dir", type=Path, metavar="STATE", help="state folder of a coordinator on this machine")
    where.add_argument("--coordinator", metavar="URL", help="address of a coordinator; needs a token file")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="worker token; default: MR_TOKEN_FILE")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="tasks to run at once (default: 1)")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="folder for temporary files")
    parser.add_argument("--name", default="", metavar="ID", help="worker id; unique for ever (default: made up)")
    parser.add_argument(
        "--reconnect-s", type=float, default=600.0, metavar="S", help="wait so long for a coordinator (default: 600)"
    )
    parser.add_argument(
        "--grace-s", type=float, default=2.0, metavar="S", help="let tasks run on so long after SIGTERM (default: 2)"
    )
    parser.add_argument("--serve-host", default="127.0.0.1", metavar="ADDRESS", help="serve runs here (Peer shuffle)")
    parser.add_argument("--serve-port", type=int, default=0, metavar="PORT", help="and on this port (default: any)")
    parser.add_argument("--serve-url", default="", metavar="URL", help="address of the run server for other workers")
    parser.add_argument("--parent-fd", type=int, metavar="N", help="end at once when this pipe does")
    return parser


def _settings(given: argparse.Namespace, worker: str, scratch: Path) -> AgentSettings:
    from mapreduce_worker.agent.settings import AgentSettings

    return AgentSettings(
        endpoint=_endpoint(given),
        worker=worker,
        scratch=scratch,
        slots=given.slots,
        parent_descriptor=given.parent_fd,
        reconnect_s=given.reconnect_s,
        grace_s=given.grace_s,
        serve_host=given.serve_host,
        serve_port=given.serve_port,
        serve_url=given.serve_url.rstrip("/"),
    )


def _endpoint(given: argparse.Namespace) -> Endpoint:
    from mapreduce.errors import UsageError
    from mapreduce.protocol.endpoint import FolderEndpoint, TokenFileEndpoint

    if given.dir is not None:
        return FolderEndpoint(given.dir)
    token_file = given.token_file or os.environ.get("MR_TOKEN_FILE")
    if not token_file:
        raise UsageError("--coordinator needs --token-file, or MR_TOKEN_FILE in the environment.")
    return TokenFileEndpoint(given.coordinator, Path(token_file))


def _scratch(given: Path | None, worker: str) -> Path:
    """A folder that is this worker's own, below the one given or the system's for temporary files."""
    if given is not None:
        return given.absolute() / worker
    import tempfile

    return Path(tempfile.mkdtemp(prefix="mr-worker-"))


def _worker_name(given: str) -> str:
    """The name as given, or one that no other process ever had: host, process id and chance."""
    if given:
        return given
    host = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in os.uname().nodename)[:80]
    return f"{host or 'worker'}-{os.getpid()}-{os.urandom(4).hex()}"


if __name__ == "__main__":
    sys.exit(main())
