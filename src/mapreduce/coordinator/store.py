"""The files beside the log: code bundles, specifications, plans, attempts' logs, and the folders of each job's runs.

Names and small durable writes only; all calls block and are made off the event loop. The log itself is `mapreduce.wal`.
Names are made from ids of our own; whatever a caller sent is checked against a pattern before it becomes part of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.coordinator.plans import Plan, digest
from mapreduce.coordinator.statefiles import CODE_FOLDER, JOBS_FOLDER, WORK_FOLDER, remove_temporaries, replace_file
from mapreduce.coordinator.uploads import PART_SUFFIX
from mapreduce.errors import PlanLost, WALForeign
from mapreduce.model import JobSpec
from mapreduce.protocol.messages import SubmitRequest
from mapreduce.typed import from_json
from mapreduce.wal.files import make_folder, storage_failure

STATE_NAME: Final = "_mapreduce"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_STEM: Final = re.compile(r"(map|reduce)-\d{5,9}\.e\d{1,16}\.a\d{1,5}")
_TASK: Final = re.compile(r"(map|reduce)-(\d{1,9})")

#: Names of the files that are replaced as a whole, by the folder they are in.
_JOB_FILES: Final = ("spec.json", "plan.msgpack")
_OWN_FILES: Final = ("owner.json",)
_OUTPUT_FILES: Final = ("_SUCCESS",)


class Store(msgspec.Struct, frozen=True):
    """All names below one state folder."""

    folder: Path
    runs: Path | None = None
    """Where runs lie if not in the state folder: a volume that workers see too."""

    def job_folder(self, job: int) -> Path:
        """Everything that belongs to one job and is no code."""
        return self.folder / JOBS_FOLDER / str(job)

    def runs_folder(self, job: int) -> Path:
        """Runs of the job's maps, `<stem>.run`."""
        return self.job_folder(job) / "runs" if self.runs is None else self.runs / str(job)

    def inline_folder(self, job: int) -> Path:
        """Inputs whose text stands in the specification; where workers see them."""
        return (self.job_folder(job) if self.runs is None else self.runs_folder(job)) / "inputs"

    def trace_folder(self, job: int) -> Path:
        """Record traces of suspected attempts, `<stem>.trace`."""
        return self.job_folder(job) / "traces"

    def logs_folder(self, job: int) -> Path:
        """What attempts printed, `<stem>.log`."""
        return self.job_folder(job) / "logs"

    def attempts_folder(self, spec: JobSpec, job: int) -> Path:
        """Outputs of attempts, `<stem>.out`: in the output's own file system, so that publishing is a rename."""
        return Path(spec.output.uri) / STATE_NAME / "attempts" / str(job)

    def make_folders(self, job: int, spec: JobSpec) -> None:
        """Makes the folders that workers write to, durably: what is committed there needs a way to it."""
        for folder in (self.runs_folder(job), self.logs_folder(job), self.attempts_folder(spec, job)):
            make_folder(folder)

    # ------------------------------------------------------------------------------------------------------ code

    def is_digest(self, text: str) -> bool:
        """`text` could be the address of a bundle."""
        return _DIGEST.fullmatch(text) is not None

    def put_code(self, address: str, body: bytes) -> bool:
        """Keeps a code bundle durably; False when `address` is not its sha256."""
        if hashlib.sha256(body).hexdigest() != address:
            return False
        path = self.folder / CODE_FOLDER / f"{address}.zip"
        if not path.exists():
            make_folder(path.parent)
            replace_file(path, body)
        return True

    def keep_code(self, body: bytes) -> str:
        """Keeps a code bundle durably; returns its address."""
        address = hashlib.sha256(body).hexdigest()
        self.put_code(address, body)
        return address

    def code(self, address: str) -> bytes | None:
        """A bundle, or None."""
        if not self.is_digest(address):
            return None
        try:
            return (self.folder / CODE_FOLDER / f"{address}.zip").read_bytes()
        except FileNotFoundError:
            return None

    # ------------------------------------------------------------------------------------------- specification, plan

    def put_submission(self, job: int, request: SubmitRequest) -> None:
        """Keeps what was submitted, so that a damaged log can be rebuilt."""
        make_folder(self.job_folder(job))
        replace_file(self.job_folder(job) / "spec.json", msgspec.json.encode(request) + b"\n")

    def submissions(self) -> dict[int, SubmitRequest]:
        """Every submission found, by job id; unreadable ones are left out."""
        found = {}
        for path in (self.folder / JOBS_FOLDER).glob("*/spec.json"):
            if path.parent.name.isdecimal():
                try:
                    found[int(path.parent.name)] = from_json(path.read_bytes(), SubmitRequest)
                except msgspec.DecodeError:
                    continue
        return dict(sorted(found.items()))

    def put_plan(self, job: int, plan: Plan) -> str:
        """Keeps a plan durably; returns its address."""
        content = plan.encode()
        make_folder(self.job_folder(job))
        replace_file(self.job_folder(job) / "plan.msgpack", content)
        return digest(content)

    def plan(self, job: int, address: str) -> Plan:
        """The plan with this address.

        Raises:
            PlanLost: it is gone or altered, for good.
            StorageFailed: it cannot be read now; the volume may give it another time.
            WALForeign: another release wrote it.
        """
        path = self.job_folder(job) / "plan.msgpack"
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise PlanLost(job, f"({path}) is gone") from error
        except OSError as error:
            raise storage_failure(f"reading the plan of job {job}", error) from error
        if digest(content) != address:
            raise PlanLost(job, f"({path}) was altered")
        try:
            return Plan.decode(content)
        except msgspec.DecodeError as error:  # whole, and not ours
            raise WALForeign(
                f"the plan of job {job} is none that this release knows ({error}); use the release that wrote it"
            ) from error

    # ------------------------------------------------------------------------------------------------------- logs

    def put_attempt_log(self, job: int, stem: str, body: bytes) -> bool:
        """Keeps what an attempt printed; False for a stem that is none. Not fsynced: losing it costs no result."""
        if _STEM.fullmatch(stem) is None:
            return False
        folder = self.logs_folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.log").write_bytes(body)
        return True

    def task_log(self, job: int, task: str) -> bytes | None:
        """What the attempts of a task printed, oldest first, each under a heading; None if it is no task's name."""
        match = _TASK.fullmatch(task)
        if match is None:
            return None
        pattern = f"{match[1]}-{int(match[2]):05d}.e*.a*.log"
        paths = sorted(self.logs_folder(job).glob(pattern), key=lambda path: int(path.stem.rpartition(".a")[2]))
        pieces = []
        for path in paths:
            pieces.append(f"==> {task}/attempt-{path.stem.rpartition('.a')[2]} <==\n".encode())
            pieces.append(path.read_bytes())
            pieces.append(b"\n")
        return b"".join(pieces)

    # ---------------------------------------------------------------------------------------------------- clean-up

    def forget_runs(self, job: int) -> None:
        """Removes runs of a job of this number that the log knows nothing of."""
        shutil.rmtree(self.runs_folder(job), ignore_errors=True)

    def clean_up(self, job: int, spec: JobSpec, *, keep_runs: bool, owns_output: bool) -> None:
        """Removes what a finished job no longer needs. Repeatable; leaves log, attempts' logs, code, plan and spec.

        Nothing in the output folder is touched unless `owns_output`: it may be another job's by now. What cannot be
        removed stays: it costs room, and no result.
        """
        remove_temporaries(self.job_folder(job), _JOB_FILES)
        for part in self.runs_folder(job).glob(f".*{PART_SUFFIX}"):
            with contextlib.suppress(OSError):
                part.unlink()
        if not keep_runs:
            shutil.rmtree(self.runs_folder(job), ignore_errors=True)
            shutil.rmtree(self.inline_folder(job), ignore_errors=True)
        shutil.rmtree(self.trace_folder(job), ignore_errors=True)
        if self.runs is not None:
            shutil.rmtree(self.runs / WORK_FOLDER, ignore_errors=True)
        if not owns_output:
            return
        output = Path(spec.output.uri)
        shutil.rmtree(output / STATE_NAME / WORK_FOLDER, ignore_errors=True)
        remove_temporaries(output / STATE_NAME, _OWN_FILES)
        remove_temporaries(output, _OUTPUT_FILES)
        attempts = self.attempts_folder(spec, job)
        shutil.rmtree(attempts, ignore_errors=True)
        with contextlib.suppress(OSError):  # another job may have taken the folder over in between, and use it
            attempts.parent.rmdir()
