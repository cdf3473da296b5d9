"""`mr get`: the result of a job."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from mapreduce.errors import UsageError
from mapreduce_cli.connect import Address, as_folder, coordinator_options, find, find_job


@click.command(
    name="get",
    epilog="""\b
Examples:
  mr get out/                       all parts, one after the other
  mr get out/ --top 10              the records with the greatest values
  mr get out/ --merge -o all.txt    one file, sorted by key
  mr get 3 -o results/              a submitted job's parts into a folder""",
)
@click.argument("job", metavar="JOB|OUT")
@click.option("-o", "--output", "target", metavar="FILE|FOLDER/", help="Where to; a folder gets the parts.  [stdout]")
@click.option(
    "--top", "top_count", type=click.IntRange(1), metavar="N", help="Only the N records with the greatest values."
)
@click.option("--merge", "merges", is_flag=True, help="All records sorted by key, as one stream.")
@coordinator_options
def command(job: str, target: str | None, top_count: int | None, merges: bool, address: Address) -> int:
    """Print, copy, merge or rank the output of a job.

    The job has ended, and is named by its output folder, its id, or its name.
    """
    if merges and top_count:
        raise click.UsageError("--merge and --top exclude each other")
    folder = as_folder(job)
    if folder is None:
        folder = _folder_of(job, address)
    if folder is None:
        if merges or top_count:
            raise UsageError("--merge and --top read the output folder, which is not on this machine")
        _download(job, address, target)
    else:
        _read(folder, target, top_count=top_count, merges=merges)
    return 0


def _read(folder: Path, target: str | None, *, top_count: int | None, merges: bool) -> None:
    from mapreduce.local import results as reading

    results = reading.open_results(folder)
    if target is not None and _is_folder(target) and not merges and not top_count:
        for part in results.parts:
            _into_folder(Path(target), part.name, lambda into, part=part: reading.copy_file(part, into))  # type: ignore[misc]
        return
    with _stream(target) as into:
        if top_count:
            into.writelines(reading.top(results, top_count))
        elif merges:
            reading.merge(results, into)
        else:
            reading.copy_all(results, into)


def _folder_of(job: str, address: Address) -> Path | None:
    """The output folder of a coordinator's job, if it can be read here."""
    client = find(address).client()
    status, _ = client.status(find_job(client, job))
    if status.state != "Complete":
        raise UsageError(f"job {status.job} '{status.name}' is {status.state}: it has no output")
    folder = Path(status.output)
    return folder if (folder / "_SUCCESS").is_file() else None


def _download(job: str, address: Address, target: str | None) -> None:
    client = find(address).client()
    number = find_job(client, job)
    names = client.parts(number)
    if target is not None and _is_folder(target):
        for name in names:
            _into_folder(Path(target), name, lambda into, name=name: client.download_part(number, name, into))  # type: ignore[misc]
        return
    with _stream(target) as into:
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
