"""`mr wal`: a write-ahead log explained, offline and without writing to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from mapreduce.errors import UsageError

_LONGEST_RECORD: Final = 400


@click.group(name="wal")
def command() -> None:
    """Explain or check the write-ahead log of a state or output folder.

    Nothing is written, and no coordinator need run; of one that runs, the log so far is read.
    """


@command.command(
    name="dump",
    epilog="""\b
Examples:
  mr wal dump state/
  mr wal dump out/ | grep JobFinished""",
)
@click.argument("folder", metavar="STATE|OUT", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Do not shorten long records.")
def dump_command(folder: Path, full: bool) -> int:
    """Print every snapshot, segment and record of a log, with its place and checksum."""
    from mapreduce.wal.explain import dump
    from mapreduce.wal.files import LocalFiles

    for line in dump(LocalFiles(), str(log_folder(folder)), lambda payload: render(payload, full=full)):
        click.echo(line)
    return 0


@command.command(
    name="verify",
    epilog="""\b
Examples:
  mr wal verify out/
\b
Exit codes: 0 it opens and nothing acknowledged is lost, 1 it is damaged or foreign.""",
)
@click.argument("folder", metavar="STATE|OUT", type=click.Path(path_type=Path))
def verify_command(folder: Path) -> int:
    """Read a whole log, judge it, and say what opening it would do."""
    from mapreduce.wal.explain import Verdict, verify
    from mapreduce.wal.files import LocalFiles

    report = verify(LocalFiles(), str(log_folder(folder)))
    click.echo(f"{report.verdict.value}: {report.summary}")
    for detail in report.details:
        click.echo(f"  {detail}")
    return 1 if report.verdict in {Verdict.ROT, Verdict.FOREIGN} else 0


def log_folder(folder: Path) -> Path:
    """The log that a person means by a state folder, an output folder, or the log's own. Raises UsageError."""
    for candidate in (folder / "_mapreduce" / "log", folder / "log"):
        if candidate.is_dir():
            return candidate
    if folder.name == "log" and folder.is_dir():
        return folder
    raise UsageError(f"{folder} holds no log; name a coordinator's state folder, or the output folder of `mr run`")


def render(payload: bytes, *, full: bool) -> str:
    """One record of the log as a line: its kind and its fields."""
    import msgspec

    from mapreduce.scheduling import records

    try:
        record = records.decode(payload)
    except msgspec.DecodeError as error:
        return f"not a record of this release ({error}), {len(payload)} bytes"
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    text = " ".join(f"{name}={_value(value)}" for name, value in fields.items())
    if not full and len(text) > _LONGEST_RECORD:
        text = f"{text[:_LONGEST_RECORD]}... ({len(payload)} bytes)"
    return f"{type(record).__name__} {text}"


def _value(value: object) -> str:
    import msgspec

    return value if isinstance(value, str) and value.isalnum() else msgspec.json.encode(value).decode()
