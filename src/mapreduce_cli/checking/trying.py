"""Starting the two processes that try a job, and putting together what they report. No user code runs here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.local.preparing import PreparedJob
from mapreduce.model import JobSpec
from mapreduce.typed import from_msgpack
from mapreduce.userenvironment import user_environment
from mapreduce_cli.checking.comparing import compare
from mapreduce_cli.checking.findings import Finding, in_order
from mapreduce_cli.checking.reports import Report, Trial
from mapreduce_cli.checking.sampling import SAMPLE_FOLDER

#: Under these two, strings hash differently, and the same each time a check runs.
_SEEDS: Final = ("1", "2")
_GRACE_S: Final = 5.0
#: Where a child unpacks the code; what follows is how the user calls it.
_CODE: Final = re.compile(r"/[^\s'\"]*/mapreduce-check-\w+/code/[0-9a-f]{64}/job/")


def try_out(job: PreparedJob, spec: JobSpec, folder: Path, *, has_sample: bool, limit_s: float) -> Report:
    """Try a job in processes of their own; the first one's report, with all findings in order.

    `spec` is the job's own with the sample as its input; `folder` an empty folder for the reports.
    """
    children = [
        _start(job, spec, folder / f"report-{seed}", seed, has_sample=has_sample, limit_s=limit_s)
        for seed in (_SEEDS if has_sample else _SEEDS[:1])
    ]
    seen = [_read(child, folder / f"report-{seed}", limit_s) for child, seed in zip(children, _SEEDS, strict=False)]
    first = seen[0]
    findings = [finding for report in seen for finding in report.findings]
    if len(seen) == 2:
        findings += compare(first, seen[1])
    first.findings = [_in_own_words(finding, folder) for finding in in_order(findings)]
    return first


def _in_own_words(finding: Finding, folder: Path) -> Finding:
    """With the names that files have outside of this check."""

    def renamed(text: str) -> str:
        return _CODE.sub("", text.replace(str(folder / SAMPLE_FOLDER), ""))

    return msgspec.structs.replace(
        finding, what=renamed(finding.what), where=renamed(finding.where), traceback=renamed(finding.traceback)
    )


def _start(
    job: PreparedJob, spec: JobSpec, report: Path, seed: str, *, has_sample: bool, limit_s: float
) -> subprocess.Popen[bytes]:
    trial = Trial(
        name=job.name,
        spec=spec,
        bundle=job.bundle.data,
        sha256=job.bundle.sha256,
        has_sample=has_sample,
        is_first=seed == _SEEDS[0],
        limit_s=limit_s,
        report=str(report),
    )
    environment = user_environment(os.environ, temporary=os.environ.get("TMPDIR")) | {"PYTHONHASHSEED": seed}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mapreduce_cli.checking.child"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.msgpack.encode(trial))
    process.stdin.close()
    return process


def _read(child: subprocess.Popen[bytes], report: Path, limit_s: float) -> Report:
    """The report of a child, or what its end without one means."""
    try:
        code = child.wait(limit_s + _GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return Report(findings=list(_hanging(limit_s)))
    except BaseException:
        child.kill()
        child.wait()
        raise
    try:
        return from_msgpack(report.read_bytes(), Report)
    except (OSError, msgspec.DecodeError):
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        return Report(
            findings=[
                Finding(
                    level="problem",
                    what=f"the job's code ended the process that ran it ({how})",
                    fix="It may use too much memory, crash in an extension, or call os._exit; mr run names the record.",
                )
            ]
        )


def _hanging(limit_s: float) -> Iterator[Finding]:
    yield Finding(
        level="problem",
        what=f"the job's code did not come back within {limit_s:.0f} s, and could not be interrupted",
        fix="Look for a call into an extension or the system that never ends.",
    )
