"""`python -m mapreduce_worker.executor --socket PATH`: connects to its agent and runs what it is given.

Started by an agent, or as a container of its own beside one. Says hello before it imports what tasks need, so that the
agent knows of it early.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

from mapreduce_worker.executor.messages import NONCE_BYTES, VERSION, Hello, frame
from mapreduce_worker.executor.surroundings import (
    die_with_parent,
    guard_forks,
    make_output_pipe,
    redirect_output,
    remove_socket,
    settle,
)


def main() -> None:
    """Run until the agent goes."""
    parser = argparse.ArgumentParser(prog="python -m mapreduce_worker.executor", description="Runs a job's own code.")
    parser.add_argument("--socket", required=True, help="Unix socket on which the agent listens")
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this process, the parent, does")
    parser.add_argument("--data-limit", type=int, default=0, help="most private memory to ask the system for, in bytes")
    arguments = parser.parse_args()
    settle(arguments.data_limit)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(arguments.socket)
    except OSError as error:
        remove_socket(arguments.socket)
        sys.exit(f"executor: its agent does not listen at {arguments.socket}: {error}")
    read_end, write_end = make_output_pipe()
    nonce = os.urandom(NONCE_BYTES)
    hello = frame(Hello(version=VERSION, pid=os.getpid(), nonce=nonce))
    socket.send_fds(channel, [hello], [read_end])
    os.close(read_end)
    redirect_output(write_end)
    die_with_parent(arguments.parent_pid)

    from mapreduce_worker.executor.inbox import Inbox

    inbox = Inbox(channel)
    inbox.start()

    from mapreduce_worker.executor.loop import TaskLoop

    def close_in_child() -> None:
        inbox.forget()
        os.close(write_end)

    guard_forks(close_in_child)
    TaskLoop(inbox, nonce=nonce, mark_descriptor=write_end).run_forever()


if __name__ == "__main__":
    main()
