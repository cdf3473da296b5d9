"""A process that has imported all of the engine, and becomes `python -m MODULE` for each that is asked for.

Run by `forked`, with the number of a connected socket and an argument that makes room for longer command lines. A
request comes with descriptors, at least stdin, stdout and stderr of the new process. The answer is its id. The new
process loses its parent at once, so it becomes a child of whoever asked, who takes orphans just then.

A process that starts others of the product keeps a child that is as it was itself before it began: its own zygote, for
only what is forked below it can become its child.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from tests.support import forked

#: They start no others of the product.
LAST: Final = ("mapreduce.describe", "mapreduce_worker.executor")
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_DESCRIPTORS: Final = 8
#: From here on descriptors are in nobody's way.
OUT_OF_THE_WAY: Final = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What the process is to be."""

    command: list[str]
    """The interpreter, its options, `-m`, a module, and arguments."""
    folder: str
    environment: dict[str, str]
    numbers: list[int]
    """Which descriptors of the new process those that came are."""
    is_session: bool
    group: int
    """The process group to join; 0 for its own, -1 for its parent's."""

    @property
    def options(self) -> list[str]:
        """The interpreter's."""
        return self.command[1 : self.command.index("-m")]

    @property
    def module(self) -> str:
        """What is run as `__main__`."""
        return self.command[self.command.index("-m") + 1]

    @property
    def arguments(self) -> list[str]:
        """What is behind the module."""
        return self.command[self.command.index("-m") + 2 :]


@dataclass(frozen=True, slots=True)
class Newborn:
    """A new process that is nobody yet."""

    request: Request
    descriptors: list[int]
    """Those that came with the request."""
    tell: int
    """Where it writes its id once it is what was asked for: as with `Popen`, nobody sees it before."""


def preload() -> None:
    """Import every module of the engine; one whose libraries are not here is left to who needs it."""
    for name in forked.PRELOADED:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda _: None):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ImportError:
                    continue
    gc.collect()
    gc.freeze()


def serve(link: socket.socket) -> Newborn:
    """Returns in every new process, with what it is to be; ends this one when nobody asks any more."""
    was = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    while True:
        content, descriptors, _, _ = socket.recv_fds(link, MAX_REQUEST_BYTES, MAX_DESCRIPTORS)
        if not content:
            os._exit(0)
        told, tell = os.pipe()
        middle = os.fork()
        if middle == 0:
            parent = os.getpid()
            if os.fork():
                os._exit(0)
            os.close(told)
            link.close()
            for number, handler in was.items():
                signal.signal(number, handler)
            while os.getppid() == parent:  # it must be the child of whoever asked before it does anything
                time.sleep(0.001)
            return Newborn(Request(**json.loads(content)), descriptors, out_of_the_way(tell))
        for descriptor in (tell, *descriptors):
            os.close(descriptor)
        os.waitpid(middle, 0)
        link.sendall(os.read(told, 32) or b"0")
        os.close(told)


def settle(newborn: Newborn) -> Newborn:
    """Make this process the leader of what it is to lead, and give it a zygote; returns in what that forks, too."""
    while True:
        if newborn.request.is_session:
            os.setsid()
        elif newborn.request.group >= 0:
            os.setpgid(0, newborn.request.group)
        if newborn.request.module in LAST:
            return newborn
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():
            theirs.close()
            forked.fork_from(socket.socket(fileno=out_of_the_way(ours.detach())))
            return newborn
        ours.close()
        for descriptor in (newborn.tell, *newborn.descriptors):
            os.close(descriptor)
        newborn = serve(theirs)


def out_of_the_way(descriptor: int) -> int:
    """The same under a number that no process is given one for."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY)
    os.close(descriptor)
    return moved


def become(newborn: Newborn) -> None:
    """Take over everything that a new interpreter would have begun with, and then say that it is there."""
    request = newborn.request
    place(newborn.descriptors, request.numbers)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    show_as("\0".join(request.command), "\0".join(f"{name}={value}" for name, value in request.environment.items()))
    sys.argv[1:] = request.arguments
    if "-P" in request.options:
        del sys.path[0]
    else:
        sys.path[0] = request.folder
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in request.environment
    sys.stdin = sys.__stdin__ = stream(0, "r")  # type: ignore[misc, assignment]
    sys.stdout = sys.__stdout__ = stream(1, "w")  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = stream(2, "w", errors="backslashreplace", is_by_line=True)  # type: ignore[misc, assignment]
    if "faulthandler" in request.options:
        faulthandler.enable()
    else:
        faulthandler.disable()
    random.seed()
    sys.modules.pop(request.module, None)  # its `__main__` is another one, as in a new interpreter
    os.write(newborn.tell, str(os.getpid()).encode())
    os.close(newborn.tell)


def place(descriptors: list[int], numbers: list[int]) -> None:
    """Give each its number; first out of the way of all numbers."""
    above = [os.dup2(descriptor, OUT_OF_THE_WAY // 2 + index) for index, descriptor in enumerate(descriptors)]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(above, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def show_as(command: str, environment: str) -> None:
    """What others see of this process, in place of what the zygote was started with, as far as there is room."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    arg_start, arg_end, env_start, env_end = map(int, fields[45:49])  # of proc_pid_stat(5)
    for start, end, text in ((arg_start, arg_end, command), (env_start, env_end, environment)):
        shown = text.encode(errors="surrogateescape")[: end - start - 1]
        ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


def stream(number: int, mode: str, *, errors: str = "strict", is_by_line: bool = False) -> TextIO:
    """As the interpreter opens its own."""
    buffering: dict[str, Any] = {"buffering": 1} if is_by_line or os.isatty(number) else {}
    return open(number, mode, encoding="utf-8", errors=errors, closefd=False, **buffering)  # type: ignore[return-value]


if __name__ == "__main__":
    preload()
    born = settle(serve(socket.socket(fileno=int(sys.argv[1]))))
    become(born)
    runpy.run_module(born.request.module, run_name="__main__", alter_sys=True)
