"""A process that has imported all of the engine, and becomes `python -m MODULE` for each that is asked for.

Run by `forked`, with the number of a connected socket and an argument that makes room for longer command lines. A
request comes with descriptors, at least stdin, stdout and stderr of the new process. The answer is its id. The new
process loses its parent at once, so it becomes a child of whoever asked, who takes orphans just then.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

PRELOADED: Final = ("mapreduce", "mapreduce_cli", "mapreduce_worker")
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_DESCRIPTORS: Final = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What the process is to be."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    numbers: list[int]
    """Which descriptors of the new process those that came are."""
    is_session: bool


def preload() -> None:
    """Import every module of the engine; one whose libraries are not here is left to who needs it."""
    for name in PRELOADED:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda _: None):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ImportError:
                    continue
    gc.collect()
    gc.freeze()


def serve(link: socket.socket) -> tuple[Request, list[int]]:
    """Returns in every new process, with what it is to be; ends this one when nobody asks any more."""
    while True:
        content, descriptors, _, _ = socket.recv_fds(link, MAX_REQUEST_BYTES, MAX_DESCRIPTORS)
        if not content:
            os._exit(0)
        told, tell = os.pipe()
        middle = os.fork()
        if middle == 0:
            child = os.fork()
            if child == 0:
                os.close(told)
                os.close(tell)
                link.close()
                return Request(**json.loads(content)), descriptors
            os.write(tell, str(child).encode())
            os._exit(0)
        for descriptor in (tell, *descriptors):
            os.close(descriptor)
        os.waitpid(middle, 0)
        link.sendall(os.read(told, 32))
        os.close(told)


def become(request: Request, descriptors: list[int]) -> None:
    """Take over everything that a new interpreter would have begun with."""
    if request.is_session:
        os.setsid()
    place(descriptors, request.numbers)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    command = (sys.executable, "-X", "faulthandler", "-m", request.module, *request.arguments)
    show_as("\0".join(command))
    sys.argv[1:] = request.arguments
    sys.path[0] = request.folder
    sys.stdin = sys.__stdin__ = stream(0, "r")  # type: ignore[misc, assignment]
    sys.stdout = sys.__stdout__ = stream(1, "w")  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = stream(2, "w", errors="backslashreplace", is_by_line=True)  # type: ignore[misc, assignment]
    faulthandler.enable()
    random.seed()


def place(descriptors: list[int], numbers: list[int]) -> None:
    """Give each its number; first out of the way of all numbers."""
    above = [os.dup2(descriptor, 100 + index) for index, descriptor in enumerate(descriptors)]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(above, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def show_as(command: str) -> None:
    """What others see as the command line of this process: it takes the place of its own, as far as there is room."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc_pid_stat(5)
    ctypes.memmove(start, command.encode()[: end - start - 1].ljust(end - start, b"\0"), end - start)


def stream(number: int, mode: str, *, errors: str = "strict", is_by_line: bool = False) -> TextIO:
    """As the interpreter opens its own."""
    buffering: dict[str, Any] = {"buffering": 1} if is_by_line or os.isatty(number) else {}
    return open(number, mode, encoding="utf-8", errors=errors, closefd=False, **buffering)  # type: ignore[return-value]


if __name__ == "__main__":
    preload()
    asked, came = serve(socket.socket(fileno=int(sys.argv[1])))
    become(asked, came)
    runpy.run_module(asked.module, run_name="__main__", alter_sys=True)
