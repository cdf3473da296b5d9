"""The process of `mr check` that imports and runs a job's code: `python -m mapreduce_cli.checking.child`.

Reads a `Trial` from stdin and writes a `Report` into the file that it names; what the user's code prints goes to
stderr. Two of them run under different PYTHONHASHSEED; comparing their reports is `comparing`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Final, NoReturn

import msgspec

from mapreduce.bundle import open_bundle
from mapreduce.dataplane.blame import user_traceback
from mapreduce.dataplane.keys import canonical_bytes, sort_key
from mapreduce.dataplane.values import Codec, codec_for
from mapreduce.errors import MapReduceError, TaskFailed
from mapreduce.inline import run_inline
from mapreduce.loading import CodeSource, load_code
from mapreduce.local.success import read_success
from mapreduce.model import JobSpec
from mapreduce.sequential import run_sequential
from mapreduce.typed import from_msgpack
from mapreduce.userjob import UserJob, resolve_job
from mapreduce_cli.checking import reports
from mapreduce_cli.checking.annotations import unstorable_promises
from mapreduce_cli.checking.findings import Finding
from mapreduce_cli.checking.globalstate import changed_globals, finding_about, fingerprints
from mapreduce_cli.checking.laws import broken_laws
from mapreduce_cli.checking.mapping import MapperProbe, Stopped
from mapreduce_cli.checking.reducing import Group, ReducerProbe
from mapreduce_cli.checking.reports import Report, Trial

#: Shares of the time after which a step takes no further records or keys.
_MAP_SHARE: Final = 0.25
_REDUCE_SHARE: Final = 0.4
_LAWS_SHARE: Final = 0.55


class OutOfTime(BaseException):
    """The time for the trial is over. No `Exception`: the user's own `except` must not swallow it."""


class _Trying:
    """One trial, step by step; what has been found so far is in `report`."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self._trial, self._folder = trial, folder
        self._source: CodeSource = open_bundle(trial.bundle, folder / "code", sha256=trial.sha256)
        self._started_s = time.monotonic()
        self._doing = "the import"
        self.report = Report()

    def run(self) -> None:
        """All that the trial asks for."""
        try:
            self._try()
        except Stopped:
            pass  # the reason is among the findings
        except OutOfTime as late:
            self._say_late(late)

    def _try(self) -> None:
        module, job = self._load()
        if self._trial.is_first:
            self.report.findings += unstorable_promises(job)
        if not self._trial.has_sample:
            return
        codec = codec_for(job.types)
        before = fingerprints(module)
        try:
            groups = self._probe_mapper(job, codec)
            self._probe_reducer(job, codec, groups)
        finally:
            found = finding_about(changed_globals(before, fingerprints(module)))
            self.report.findings += [found] if found is not None and self._trial.is_first else []
        if job.combiner is not None and self._trial.is_first:
            self._doing = "the combiner"
            until_s = self._until_s(_LAWS_SHARE)
            self.report.findings += broken_laws(job, groups, codec, self._trial.spec.args, until_s=until_s)
        self._doing = "a whole run"
        self._run_whole()

    def _load(self) -> tuple[ModuleType, UserJob]:
        code = load_code(self._source)
        return code.module, resolve_job(code.module, self._trial.spec, name=self._trial.name, types=code.types)

    def _probe_mapper(self, job: UserJob, codec: Codec) -> list[Group]:
        self._doing = "the mapper"
        probe = MapperProbe(self._trial.spec, job, codec, until_s=self._until_s(_MAP_SHARE))
        try:
            probe.run()
        finally:
            mapped = probe.mapped
            self.report.findings += mapped.findings
            self.report.records, self.report.pairs = mapped.records, len(mapped.pairs)
            self.report.mapped, self.report.is_cut_short = mapped.calls, mapped.is_cut_short
        if self._trial.spec.reducers == 0:
            return []
        groups: dict[bytes, Group] = {}
        for key, value in mapped.pairs:
            groups.setdefault(canonical_bytes(key), (key, []))[1].append(value)
        self.report.keys = len(groups)
        if self._trial.is_first:
            self.report.findings += _unusual_keys([group[0] for group in groups.values()])
        return sorted(groups.values(), key=lambda group: sort_key(group[0]))

    def _probe_reducer(self, job: UserJob, codec: Codec, groups: list[Group]) -> None:
        if job.reducer is None or not groups:
            return
        self._doing = "the reducer"
        probe = ReducerProbe(self._trial.spec, job, codec, until_s=self._until_s(_REDUCE_SHARE))
        try:
            probe.run(groups)
        finally:
            reduced = probe.reduced
            self.report.findings += reduced.findings
            self.report.reduced_keys, self.report.emitted = reduced.keys, reduced.emitted
            self.report.reduced = reduced.calls
            self.report.is_cut_short |= reduced.is_cut_short

    def _run_whole(self) -> None:
        """The job as a whole in several ways. What they gave is compared by the parent."""
        spec = self._trial.spec
        if self._trial.is_first:
            self._whole(reports.ENGINE, spec, run_inline)
            self._whole(reports.REFERENCE, spec, run_sequential)
            self._whole(reports.AGAIN, spec, run_inline)
            return
        self._whole(reports.ENGINE, spec, run_inline)
        self._whole(reports.ANEW, spec, lambda spec, job, folder: run_inline(spec, job, folder, job_of_task=self._job))
        if spec.combiner is not None:
            self._whole(reports.UNCOMBINED, msgspec.structs.replace(spec, combiner=None), run_inline)

    def _whole(self, name: str, spec: JobSpec, run: Callable[[JobSpec, UserJob, Path], dict[str, int]]) -> None:
        folder = self._folder / name
        folder.mkdir()
        # Imported anew for each: what the functions keep in globals must not pass from one to the other.
        code = load_code(self._source)
        job = resolve_job(code.module, spec, name=self._trial.name, types=code.types)
        try:
            counters = run(spec, job, folder)
        except TaskFailed as failure:
            self._fail(str(failure), failure.record, failure.traceback)
        except MapReduceError as error:
            self._fail(str(error), "", "")
        except Exception as error:  # the user's, as it came out of one of their functions
            where = ", ".join(getattr(error, "__notes__", ())).removeprefix("record: ")
            self._fail(f"the job raised {type(error).__name__}: {error}", where, user_traceback(error))
        if name == reports.ENGINE:
            success = read_success(folder / "_SUCCESS")
            self.report.counters = counters
            self.report.warnings = success.warnings if success is not None else {}
        self.report.outputs[name] = {
            path.name: path.read_bytes()
            for path in sorted(folder.iterdir())
            if path.is_file() and not path.name.startswith(("_", "."))
        }

    def _job(self) -> UserJob:
        return self._load()[1]

    def _fail(self, what: str, where: str, traceback: str) -> NoReturn:
        self.report.findings.append(Finding(level="problem", what=what, where=where, traceback=traceback))
        raise Stopped

    def _until_s(self, share: float) -> float:
        return self._started_s + self._trial.limit_s * share

    def _say_late(self, late: OutOfTime) -> None:
        self.report.is_cut_short = True
        calls = len(self.report.mapped)
        if self._doing in {"a whole run", "the combiner"}:
            return
        self.report.findings.append(
            Finding(
                level="problem",
                what=f"{self._doing} was still running after {self._trial.limit_s:.0f} s",
                where=f"after {calls:,} records" if calls else "the first records",
                fix="Look at the loop below; if it is only slow, give a smaller --sample or a longer --timeout.",
                traceback=user_traceback(late).partition(f'  File "{__file__}"')[0],
            )
        )


def _unusual_keys(keys: list[object]) -> list[Finding]:
    """What is odd about keys that are all allowed."""
    kinds = {type(key).__name__ for key in keys}
    found = []
    if len(kinds - {"int", "float", "bool"}) + bool(kinds & {"int", "float", "bool"}) > 1:
        found.append(
            Finding(
                level="warning",
                what=f"keys are of several types: {', '.join(sorted(kinds))}; 1 and '1' are different keys",
                fix="Make them one type, such as str(key), unless this is meant.",
            )
        )
    if any(isinstance(key, float) and key != key for key in keys):
        found.append(
            Finding(level="warning", what="a key is NaN; all NaNs are one key", fix="Skip such records, or name them.")
        )
    return found


def main() -> int:
    """The child. Exit code 0 whenever a report was written."""
    trial = from_msgpack(sys.stdin.buffer.read(), Trial)
    os.dup2(2, 1)  # what the user's code prints is not ours to mix into the answer

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, stop)
    with tempfile.TemporaryDirectory(prefix="mapreduce-check-") as folder:
        trying = _Trying(trial, Path(folder))
        signal.setitimer(signal.ITIMER_REAL, trial.limit_s)
        try:
            trying.run()
        except TaskFailed as failure:
            trying.report.findings.append(
                Finding(level="problem", what=str(failure), where=failure.record, traceback=failure.traceback)
            )
        except MapReduceError as error:
            trying.report.findings.append(Finding(level="problem", what=str(error)))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        Path(trial.report).write_bytes(msgspec.msgpack.encode(trying.report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
