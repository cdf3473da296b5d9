"""`mr get`: the result of a job."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from mapreduce.errors import UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import OfClaim, OfCluster, OfCoordinator, OfFolder, resolve

if TYPE_CHECKING:
    from mapreduce.protocol.client import CoordinatorClient
    from mapreduce_cli.cluster.jobs import ClusterJob, Jobs


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to become of the result."""

    target: str | None
    top_count: int | None
    merges: bool

    @property
    def is_part_by_part(self) -> bool:
        """The parts are wanted as they are, in a folder."""
        return self.target is not None and _is_folder(self.target) and not self.merges and not self.top_count


@click.command(
    name="get",
    epilog="""\b
Examples:
  mr get out/                       all parts, one after the other
  mr get out/ --top 10              the records with the greatest values
  mr get out/ --merge -o all.txt    one file, sorted by key
  mr get 3 -o results/              a submitted job's parts into a folder
  mr get wordcount -n team-a --top 10
  mr get pvc://results/wc -n team-a -o wc.txt --merge
\b
In a cluster the coordinator sends the parts; when it is gone, or the job, a short-lived pod that mounts the claim
read-only does, and is removed at the end.""",
)
@job_argument()
@click.option("-o", "--output", "into", metavar="FILE|FOLDER/", help="Where to; a folder gets the parts.  [stdout]")
@click.option(
    "--top", "top_count", type=click.IntRange(1), metavar="N", help="Only the N records with the greatest values."
)
@click.option("--merge", "merges", is_flag=True, help="All records sorted by key, as one stream.")
@click.option(
    "--reader-image",
    envvar="MR_READER_IMAGE",
    metavar="IMAGE",
    help="Worker image of the pod that reads a claim.  [$MR_READER_IMAGE, else that of a coordinator there]",
)
@target_options
def command(
    job: str, into: str | None, top_count: int | None, merges: bool, reader_image: str | None, target: Target
) -> int:
    """Print, copy, merge or rank the output of a job.

    The job has ended, and is named by its output (a folder, or pvc://CLAIM/PATH), its id, or its name.
    """
    if merges and top_count:
        raise click.UsageError("--merge and --top exclude each other")
    asked = Asked(into, top_count, merges)
    match resolve(job, target):
        case OfFolder(folder):
            _read(folder, asked)
        case OfCoordinator(_, client, number) as at:
            near = _folder_of(at)
            if near is not None:
                _read(near, asked)
            else:
                _fetch(client, number, asked)
        case OfCluster() as found:
            _from_cluster(found, asked, reader_image, uri=job if "://" in job else "")
        case OfClaim(jobs, uri):
            _from_claim(jobs, None, uri, asked, reader_image)
    return 0


def _from_cluster(found: OfCluster, asked: Asked, reader_image: str | None, *, uri: str) -> None:
    """The result of a job; named by its output (`uri`), of whichever job that is there has made it."""
    from mapreduce_cli.cluster.proxied import JOB_NUMBER, CoordinatorGone, coordinator_client

    job = found.job
    if uri and not job.is_true("Complete"):
        made_it = found.jobs.with_output(uri, only_complete=True)
        if made_it is None and job.is_finished:  # a job that was refused this output, and what was there before
            _from_claim(found.jobs, job, uri, asked, reader_image)
            return
        job = made_it or job
    if not job.is_true("Complete"):
        state = job.status.state or "Pending"
        raise UsageError(
            f"job '{job.name}' is {state}: it has no output; `mr why {found.command_name}` says what it waits for"
        )
    client = coordinator_client(found.jobs, job)
    try:
        client.parts(JOB_NUMBER)
    except CoordinatorGone:
        _from_claim(found.jobs, job, job.output, asked, reader_image)
    else:
        _fetch(client, JOB_NUMBER, asked)


def _from_claim(jobs: Jobs, job: ClusterJob | None, uri: str, asked: Asked, reader_image: str | None) -> None:
    """What lies on a claim, by a pod that reads it."""
    from mapreduce_cli.cluster import reader as pods

    image, pulls = pods.find_image(jobs, job, reader_image)
    wanted = pods.Wanted(image, output=pods.output_mount(uri), pull_secrets=pulls, template=pods.template_of(job))
    with pods.reader(jobs, wanted) as client:
        _fetch(client, 1, asked)


def _read(folder: Path, asked: Asked) -> None:
    """The result of a folder that can be read here."""
    from mapreduce.local import results as reading

    results = reading.open_results(folder)
    if asked.is_part_by_part:
        assert asked.target is not None
        for part in results.parts:
            _into_folder(Path(asked.target), part.name, lambda into, part=part: reading.copy_file(part, into))  # type: ignore[misc]
        return
    with _stream(asked.target) as into:
        if asked.top_count:
            into.writelines(reading.top(results, asked.top_count))
        elif asked.merges:
            reading.merge(results, into)
        else:
            reading.copy_all(results, into)


def _folder_of(job: OfCoordinator) -> Path | None:
    """The output folder of a coordinator's job, if it can be read here."""
    status, _ = job.client.status(job.number)
    if status.state != "Complete":
        raise UsageError(
            f"job {status.job} '{status.name}' is {status.state}: it has no output; "
            f"`mr why {job.command_name}` says more"
        )
    folder = Path(status.output)
    return folder if (folder / "_SUCCESS").is_file() else None


def _fetch(client: CoordinatorClient, number: int, asked: Asked) -> None:
    """The result of a coordinator, or of a reader, that is elsewhere.

    To merge and to rank, the parts are brought here first: that reads them in an order of its own.
    """
    names = client.parts(number)
    if asked.merges or asked.top_count:
        with tempfile.TemporaryDirectory(prefix="mapreduce-get-") as scratch:
            for name in ("_SUCCESS", *names):
                _into_folder(Path(scratch), name, lambda into, name=name: client.download_part(number, name, into))  # type: ignore[misc]
            _read(Path(scratch), asked)
        return
    if asked.is_part_by_part:
        assert asked.target is not None
        for name in names:
            _into_folder(Path(asked.target), name, lambda into, name=name: client.download_part(number, name, into))  # type: ignore[misc]
        return
    with _stream(asked.target) as into:
        for name in names:
            client.download_part(number, name, into)


def _is_folder(target: str) -> bool:
    return target.endswith("/") or Path(target).is_dir()


def _into_folder(folder: Path, name: str, write: Callable[[BinaryIO], object]) -> None:
    if "/" in name or name.startswith("."):
        raise UsageError(f"the part name {name!r} is not one that is written here")
    folder.mkdir(parents=True, exist_ok=True)
    with _stream(str(folder / name)) as into:
        write(into)


@contextlib.contextmanager
def _stream(target: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears only when it is whole."""
    if target is None or target == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as into:
            yield into
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
