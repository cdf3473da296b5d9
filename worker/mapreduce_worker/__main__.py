"""`python -m mapreduce_worker`: reads the command line, starts an agent, ends with its exit code.

0 no work is left, 2 wrong usage, 3 no coordinator for longer than --reconnect-s, 143 told to end. Executors beside this
process are started before anything else is imported, so that both sides come up at the same time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mapreduce.leaving import leave
from mapreduce_worker.agent.processes import LocalExecutors

if TYPE_CHECKING:
    from mapreduce.protocol.endpoint import Endpoint
    from mapreduce_worker.agent.agent import Agent
    from mapreduce_worker.agent.executors import Executor, Executors
    from mapreduce_worker.agent.places import WorkFolder
    from mapreduce_worker.agent.settings import AgentSettings

EXIT_USAGE = 2
EXIT_FAILED = 3
EXIT_TERMINATED = 143
#: Executors in a container of their own are another user of the same group.
_SHARED_UMASK = 0o007
_GRACE_S = {False: 2.0, True: 20.0}


def main(arguments: list[str] | None = None) -> int:
    """Run a worker; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not 1 <= given.slots <= 1_024:
        parser.error(f"--slots {given.slots}: give a number from 1 to 1024.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    worker = _worker_name(given.name)
    started: list[Executor] = []
    try:
        scratch = _scratch(given.scratch, worker)
        executors: Executors
        if given.executors is None:
            executors = LocalExecutors(scratch)
            started += (executors.start(index) for index in range(given.slots))
        else:
            from mapreduce_worker.agent.remote import RemoteExecutors

            os.umask(_SHARED_UMASK)
            executors = RemoteExecutors(given.executors)
        return _run(given, worker, scratch, executors, started)
    except OSError as error:
        sys.stderr.write(f"The worker cannot go on: {error}\n")
        return EXIT_FAILED
    finally:
        for executor in started:
            executor.end()


def _run(given: argparse.Namespace, worker: str, scratch: Path, executors: Executors, started: list[Executor]) -> int:
    from mapreduce.errors import UsageError
    from mapreduce_worker.agent.agent import Agent
    from mapreduce_worker.agent.jobs import remove_tree

    try:
        agent = Agent(_settings(given, worker, scratch), executors, started)
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
        agent.ask_to_end()
        show(died)  # last: what it writes to may be full

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
        *("--grace-s",),
        type=float,
        metavar="S",
        help="let tasks run on so long after SIGTERM (default: 2; with --executors 20)",
    )
    parser.add_argument(
        *("--replica-grace-s",),
        type=float,
        default=0.0,
        metavar="S",
        help="stay so long after SIGTERM for runs of which there is no replica yet (default: as long as for tasks)",
    )
    parser.add_argument(
        "--executors", type=Path, metavar="DIR", help="executors are in a container beside this one; sockets lie here"
    )
    folder = "EXECUTORS_PATH=AGENTS_PATH"
    parser.add_argument("--work", metavar=folder, help="folder that those executors write to; files are moved from it")
    parser.add_argument("--output-work", metavar=folder, help="the same for outputs, if they lie on another volume")
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="headers for inputs by URL, as DIR/INDEX/HEADER")
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
        grace_s=given.grace_s if given.grace_s is not None else _GRACE_S[given.executors is not None],
        replica_grace_s=given.replica_grace_s,
        work=_work_folder("--work", given.work),
        output_work=_work_folder("--output-work", given.output_work),
        secrets=given.secrets,
        serve_host=given.serve_host,
        serve_port=given.serve_port,
        serve_url=given.serve_url.rstrip("/"),
    )


def _work_folder(option: str, text: str | None) -> WorkFolder | None:
    from mapreduce.errors import UsageError
    from mapreduce_worker.agent.places import WorkFolder

    if text is None:
        return None
    executor, separator, agent = text.partition("=")
    if not separator or not executor.startswith("/") or not agent.startswith("/"):
        raise UsageError(f"{option} {text}: give two absolute paths of one folder, EXECUTORS_PATH=AGENTS_PATH.")
    return WorkFolder(executor.rstrip("/"), agent.rstrip("/"))


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
    leave(main())
