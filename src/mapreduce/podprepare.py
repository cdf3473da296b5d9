"""`python -m mapreduce.podprepare`: describe and pack a job's code, in an init container that holds no secret.

The only place on the coordinator's side of a cluster where user code is imported, and then only in a child
(`describe`). What is wrong with the code is data in the description; whoever reads that decides.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mapreduce.bundle import Bundle, make_bundle
from mapreduce.describe import describe_in_child
from mapreduce.errors import InvalidUserCode, MapReduceError
from mapreduce.jobspec import CodeProblem, Description
from mapreduce.model import Code
from mapreduce.podjob import (
    BUNDLE_FILE,
    CODE_FILE,
    DESCRIPTION_FILE,
    NEVER,
    PodJob,
    leave_message,
    read_job,
    reason_of,
    write_file,
)
from mapreduce.userenvironment import container_environment
from mapreduce.userjob import Names
from mapreduce.volumes import POD_ROOT, pod_path, shown


def main(arguments: Sequence[str]) -> int:
    """The init container's process; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mapreduce.podprepare", description="Describe and pack the code of a job in a cluster."
    )
    parser.add_argument("--job", type=Path, required=True, help="folder with job.json, and job.py for code in it")
    parser.add_argument("--out", type=Path, required=True, help="folder for description.json and bundle.zip")
    parser.add_argument("--root", default=POD_ROOT, help="folder below which volumes are mounted")
    parser.add_argument("--termination-log", type=Path, default=Path("/dev/termination-log"))
    asked = parser.parse_args(arguments)
    os.umask(0o007)
    try:
        prepare(asked.job, asked.out, root=asked.root)
    except MapReduceError as error:
        message, reason = shown(str(error), asked.root), reason_of(error)
        leave_message(asked.termination_log, reason or "PrepareFailed", message)
        sys.stderr.write(f"podprepare: {message}\n")
        return NEVER if reason else 1
    except OSError as error:
        leave_message(asked.termination_log, "PrepareFailed", str(error))
        sys.stderr.write(f"podprepare: {error}\n")
        return 1
    return 0


def prepare(folder: Path, out: Path, *, root: str = POD_ROOT) -> Description:
    """Write description and bundle of the job in `folder`; the bundle is left out when the code cannot be used."""
    job = read_job(folder)
    code = _code(job, folder, root)
    description, bundle = _describe(job, code, folder)
    if bundle is not None:
        write_file(out / BUNDLE_FILE, bundle.data)
    write_file(out / DESCRIPTION_FILE, msgspec.json.encode(description))
    return description


def _code(job: PodJob, folder: Path, root: str) -> Code:
    """The code as it is found in this pod: a module, or a file."""
    code = job.spec.code
    if code.module is not None:
        return code
    if code.volume_path is not None:
        return Code(volume_path=pod_path("spec.code.volumePath", code.volume_path, root))
    return Code(volume_path=str(folder / CODE_FILE))


def _describe(job: PodJob, code: Code, folder: Path) -> tuple[Description, Bundle | None]:
    names = Names.asked_by(job.spec)
    environment = container_environment(os.environ)  # what is found here is found by executors
    try:
        if code.module is not None:
            description = describe_in_child(code.module, names=names, is_module=True, environment=environment)
        else:
            description = describe_in_child(code.volume_path or "", names=names, environment=environment)
        bundle = make_bundle(code)
    except InvalidUserCode as error:
        return Description(name=job.name, problem=CodeProblem(message=_named(str(error), folder))), None
    problem = description.problem
    if problem is None:
        return description, bundle
    told = msgspec.structs.replace(
        problem, message=_named(problem.message, folder), traceback=_named(problem.traceback, folder)
    )
    return msgspec.structs.replace(description, problem=told), None


def _named(text: str, folder: Path) -> str:
    """A message that calls the job's file as its author knows it, and not by where it is mounted."""
    return text.replace(str(folder / CODE_FILE), CODE_FILE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
