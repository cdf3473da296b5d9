"""Jobs for tests: from source text to a file, a description, a `UserJob`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from mapreduce.bundle import load_job
from mapreduce.describe import describe_here
from mapreduce.jobspec import Description
from mapreduce.loading import CodeSource
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.userjob import Names, UserJob

MINIMAL = JobSpec(code=Code(module="x"), inputs=(Input(uri="in"),), output=Output(uri="out"))


def write_job(folder: Path, source: str, name: str = "job.py") -> Path:
    """A job's file with this source, de-indented."""
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return path


def describe_source(folder: Path, source: str, names: Names | None = None) -> Description:
    """What the source declares."""
    return describe_here(CodeSource(write_job(folder, source)), names or Names())


def problem_of(folder: Path, source: str, names: Names | None = None) -> str:
    """Why the source cannot be used; fails the test if it can."""
    description = describe_source(folder, source, names)
    assert description.problem is not None, description
    return description.problem.message


def user_job(folder: Path, source: str, spec: JobSpec = MINIMAL) -> UserJob:
    """The job that the spec asks for, out of this source."""
    return load_job(CodeSource(write_job(folder, source)), spec, name="job")
