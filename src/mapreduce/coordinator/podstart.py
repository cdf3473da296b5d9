"""The first start of a coordinator in a pod: from what the operator mounted to job 1 in the log.

Everything that can never work is found here, before a task exists, and raised as the error that names it. A start that
was interrupted is repeated from the beginning; once the job is in the log nothing here is looked at any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from mapreduce.coordinator.outputs import Claimant, claim_output
from mapreduce.coordinator.plans import headers_of
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.transfers import is_below
from mapreduce.dataplane.inputs import list_input
from mapreduce.errors import InvalidInput, InvalidUserCode, StorageFailed
from mapreduce.inlineinputs import keep_copy
from mapreduce.jobspec import Description, Overrides, build_spec
from mapreduce.model import Input, JobSpec
from mapreduce.podjob import BUNDLE_FILE, DESCRIPTION_FILE, PodJob, read_job
from mapreduce.protocol.messages import SubmitRequest
from mapreduce.typed import from_json
from mapreduce.volumes import VolumeUri, in_pod, pod_folder

#: A pod's network and name service may come up later than the pod.
URL_PATIENCE_S: Final = 60.0
JOB: Final = 1


class PodFolders(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is in the coordinator's pod."""

    state: Path
    job: Path
    prepared: Path
    runs: Path | None
    """None: workers share no volume with the coordinator (Peer shuffle)."""
    secrets: Path
    root: str
    """Folder below which claims and ConfigMaps are mounted."""

    @property
    def input_roots(self) -> tuple[Path, ...]:
        """Folders that no input may lie outside of."""
        return (Path(self.root) / "claims", self.runs if self.runs is not None else self.state / "jobs")


async def ensure_job(service: Service, job: PodJob, folders: PodFolders) -> None:
    """Submit the job unless the log has it.

    Raises InvalidUserCode, InvalidInput, InvalidJobSpec, OutputRefused; StorageFailed for what a restart may mend.
    """
    if service.machine.state.jobs:
        return
    await service.blocking.run(lambda: service.store.forget_runs(JOB))
    copies = service.store.inline_folder(JOB) / "configmaps"
    spec, bundle = await service.blocking.run(lambda: _prepare(job, folders, copies))
    digest = await service.blocking.run(lambda: service.store.keep_code(bundle))
    claimant = Claimant(job.uid, folders.state, JOB, job.name, digest, is_new=True)
    await service.blocking.run(lambda: claim_output(spec, claimant))
    await service.submit(SubmitRequest(name=job.name, spec=spec, code=digest))


def read_spec(folders: PodFolders) -> PodJob:
    """The job as the operator wrote it. Raises InvalidJobSpec."""
    return read_job(folders.job)


def _prepare(job: PodJob, folders: PodFolders, copies: Path) -> tuple[JobSpec, bytes]:
    description, bundle = _read_prepared(folders.prepared)
    spec = build_spec(description, Overrides(), manifest=job.spec)
    mounted = in_pod(spec, folders.root)
    inputs = tuple(
        _with_copy(before, after, index, folders.root, copies)
        for index, (before, after) in enumerate(zip(spec.inputs, mounted.inputs, strict=True))
    )
    mounted = msgspec.structs.replace(mounted, inputs=inputs)
    _check_inputs(mounted, folders)
    return mounted, bundle


def _read_prepared(folder: Path) -> tuple[Description, bytes]:
    try:
        description = from_json((folder / DESCRIPTION_FILE).read_bytes(), Description)
        if description.problem is None:
            return description, (folder / BUNDLE_FILE).read_bytes()
    except (OSError, msgspec.DecodeError) as error:
        raise StorageFailed(f"the init container `describe` left no description in {folder}: {error}") from None
    trace = description.problem.traceback.rstrip()
    raise InvalidUserCode(description.problem.message + (f"\n{trace}" if trace else ""))


def _with_copy(before: Input, after: Input, index: int, root: str, copies: Path) -> Input:
    """An input of a ConfigMap as a copy of it: what the job began with stays, whatever becomes of the ConfigMap."""
    uri = VolumeUri.parse(f"spec.inputs[{index}].uri", before.uri)
    if uri is None or uri.scheme != "configmap":
        return after
    source = Path(pod_folder(uri, root))
    if not source.is_dir():
        raise InvalidInput(before.uri, "the ConfigMap is not mounted.", "Check its name.")
    copy = keep_copy(source, copies / uri.name)
    return msgspec.structs.replace(after, uri=uri.below(str(copy)))


def _check_inputs(spec: JobSpec, folders: PodFolders) -> None:
    for index, source in enumerate(spec.inputs):
        if source.inline is not None:
            continue
        headers = headers_of(spec, index, folders.secrets)
        for file in list_input(source, headers=headers, patience_s=URL_PATIENCE_S):
            if "://" not in file.path and not is_below(Path(file.path), folders.input_roots):
                raise InvalidInput(file.path, "leads out of its volume.", "Copy the file to the volume itself.")
            if Path(file.path).is_relative_to(spec.output.uri):
                raise InvalidInput(file.path, "lies in the output folder.", "Write to another folder.")
