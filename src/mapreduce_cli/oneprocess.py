"""`mr run --sequential` and `--inline`: the job in this very process. Inline, exceptions come through for a debugger.

The only place of the command line where user code is imported. What the two modes do is `mapreduce.sequential` and
`mapreduce.inline`; the output folder is claimed by the same rules as for any run, except that nothing is resumed: a
folder with an unfinished run is refused.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mapreduce.bundle import libraries_of, load_job, open_bundle
from mapreduce.errors import JobFailed, MapReduceError
from mapreduce.inline import run_inline
from mapreduce.loading import CodeSource, user_traceback
from mapreduce.local.claiming import OutputClaim
from mapreduce.local.paths import OutputPaths
from mapreduce.local.preflight import list_inputs
from mapreduce.ownerrecord import make_owner_record
from mapreduce.sequential import run_sequential
from mapreduce.units import format_count, format_duration

if TYPE_CHECKING:
    from mapreduce.local.preparing import Preparation, PreparedJob
    from mapreduce.ownerrecord import End
    from mapreduce.userjob import UserJob


def run_in_this_process(preparation: Preparation, *, is_sequential: bool, restart: bool) -> int:
    """Run the job here; the exit code.

    Raises UsageError; JobFailed (sequential) or what the user's functions raise (inline).
    """
    started_s = time.monotonic()
    paths = OutputPaths(preparation.output)
    claim = OutputClaim.acquire(paths, overwrite=preparation.may_overwrite)
    is_settled = False
    try:
        job = preparation.finish()
        inputs = list_inputs(job.spec, paths.folder)
        with tempfile.TemporaryDirectory(prefix="mapreduce-") as scratch:
            source = code_source(preparation, job, Path(scratch))
            user_job = load_job(source, job.spec, name=job.name)
            owner = make_owner_record(
                job.name, job.spec, code=job.code_files, code_digest=job.bundle.sha256, inputs=inputs
            )
            owner = msgspec.structs.replace(owner, mode="sequential" if is_sequential else "inline")
            _, notice = claim.settle(
                owner,
                inputs,
                name_template=job.spec.output.name_template,
                overwrite=preparation.may_overwrite,
                restart=restart,
                may_resume=False,
            )
            if notice:
                print(f"mr: {notice}", file=sys.stderr)
            is_settled = True
            end: End = "Failed"
            try:
                if is_sequential:
                    counters = _run_sequential(job, user_job, source, paths.folder)
                else:
                    counters = run_inline(job.spec, user_job, paths.folder)
                end = "Complete"
            finally:
                claim.write_owner(msgspec.structs.replace(owner, end=end))
    finally:
        if is_settled:
            claim.release()
        else:
            claim.undo()
    print(f"job '{job.name}' done in {format_duration(time.monotonic() - started_s)}, output in {paths.folder}")
    for name, count in sorted(counters.items()):
        print(f"  {name}  {format_count(count)}")
    return 0


def code_source(preparation: Preparation, job: PreparedJob, scratch: Path) -> CodeSource:
    """Where to import the job from: its own file where it has one, so that a debugger shows that."""
    code = job.spec.code
    if code.volume_path is not None:
        file = Path(code.volume_path)
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))
        return CodeSource(file=file.absolute(), libraries=libraries_of(preparation.py_files))
    return open_bundle(job.bundle.data, scratch, sha256=job.bundle.sha256)


def _run_sequential(job: PreparedJob, user_job: UserJob, source: CodeSource, output: Path) -> dict[str, int]:
    try:
        return run_sequential(job.spec, user_job, output)
    except MapReduceError:
        raise
    except Exception as error:  # the user's, or what theirs led to: the reference checks nothing
        trace = user_traceback(error, error.__traceback__, source).rstrip()
        message = f"the reference run of job '{job.name}' failed; without --sequential the record is named\n{trace}"
        raise JobFailed("TaskFailed", message) from error
