"""`mr plan`: what a run will be like, from a sample; and afterwards how far that was from what happened."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mapreduce_cli.options import JobOptions, claim, duration, plan_options, size

if TYPE_CHECKING:
    from mapreduce.local.preparing import PreparedJob
    from mapreduce_cli.checking.sampling import Sample
    from mapreduce_cli.planning.measures import Measures
    from mapreduce_cli.planning.predicting import Prediction, Shape


@click.command(
    name="plan",
    epilog="""\b
Examples:
  mr plan wordcount.py 'books/*.txt' -o out/           here, with a worker for each CPU
  mr plan wordcount.py books/ --workers 32 --cluster   with 32 workers that have a CPU each
  mr plan wordcount.py books/ --volume 10GiB           will that volume do?
  mr plan --compare out/                               how far was it from what happened?
\b
Two samples are mapped and reduced in a process of its own, by the real tasks. Exit codes: 0 planned, 1 the functions
failed on the sample, 2 wrong usage, or a volume that is too small for the run.""",
)
@plan_options
@click.option(
    "--workers",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Workers to plan for.  [the manifest's, else one per CPU, with --cluster 2]",
)
@click.option("--cluster", "is_cluster", is_flag=True, help="The workers have a CPU for each slot, elsewhere.")
@click.option("--volume", "volume_bytes", type=size, metavar="SIZE", help="Room for runs.  [what is free]")
@click.option("--sample", "sample_bytes", type=size, default="4MiB", metavar="SIZE", help="How much to try.  [4MiB]")
@click.option("--timeout", "limit_s", type=duration, default="2m", metavar="TIME", help="How long to try.  [2m]")
@click.option(
    "--claim", "claims", type=claim, metavar="NAME=FOLDER", multiple=True,
    help="Folder that stands for a cluster's claim or ConfigMap.",
)  # fmt: skip
@click.option(
    "--compare", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="OUT",
    help="Predict a finished run and compare; its code and input are those that it had.",
)  # fmt: skip
def command(
    job: JobOptions,
    workers: int | None,
    is_cluster: bool,
    volume_bytes: int | None,
    sample_bytes: int,
    limit_s: int,
    claims: tuple[tuple[str, Path], ...],
    compare: Path | None,
) -> int:
    """Say how long a job will take, how large it will be, and what to set; runs a sample only.

    FILE is a Python file or a manifest (.yaml), INPUTs are files, folders or globs.
    """
    if compare is not None:
        return _compare(compare, sample_bytes, limit_s)
    prepared = _prepare(job, dict(claims))
    is_here = not is_cluster
    measures, sample, shape = _measure(prepared, workers, is_here, sample_bytes, limit_s)

    from mapreduce.model import split_size_bytes
    from mapreduce_cli.planning.predicting import advice, predict
    from mapreduce_cli.planning.volumes import check_room, room_for

    prediction = predict(measures, shape)
    _show(prepared.name, prediction, measures, sample, shape)
    for sentence in advice(prediction, shape, split_size_bytes(prepared.spec, sample.input_bytes)):
        click.echo(f"suggestion: {sentence}")
    room = room_for(prepared.spec, asked_bytes=volume_bytes, is_here=is_here)
    if room is not None:
        check_room(prediction, room, is_here=is_here)
    return 0


def _prepare(job: JobOptions, claims: dict[str, Path]) -> PreparedJob:
    from mapreduce_cli.options import begin

    if job.file is None:
        raise click.UsageError("no job is given; name its Python file or manifest, or --compare a finished output")
    if not job.is_manifest:  # where it would be written matters only for the volume
        job = dataclasses.replace(job, given={"output": "out", **job.given})
    preparation = begin(job, claims=claims)
    try:
        return preparation.finish()
    finally:
        preparation.abandon()


def _measure(
    job: PreparedJob, workers: int | None, is_here: bool, sample_bytes: int, limit_s: int
) -> tuple[Measures, Sample, Shape]:
    from mapreduce_cli.planning.measuring import measure_job, shape_of

    with tempfile.TemporaryDirectory(prefix="mapreduce-plan-") as name:
        folder = Path(name)
        measures, sample, start_s = measure_job(job, folder, sample_bytes=sample_bytes, limit_s=limit_s)
        shape = shape_of(job, sample, folder, workers=workers, is_here=is_here, start_s=start_s)
    return measures, sample, shape


def _show(name: str, prediction: Prediction, measures: Measures, sample: Sample, shape: Shape) -> None:
    from mapreduce.units import format_duration, format_size
    from mapreduce_cli.summary import plural

    large = measures.large
    assert large is not None
    part = "all" if sample.is_whole else f"a sample of {format_size(sample.bytes)}"
    speed = format_size(large.input_bytes / large.map_s) if large.map_s else "-"
    click.echo(
        f"job '{name}': {format_size(sample.input_bytes)} in {plural(sample.input_files, 'file')}, tried on {part}"
    )
    click.echo(f"  map      {plural(prediction.maps, 'task')}, {format_duration(prediction.map_s)} each ({speed}/s)")
    if shape.reduces:
        click.echo(f"  shuffle  {format_size(prediction.run_bytes)} of runs" + _spilling(prediction))
        reduce = f"{plural(prediction.reduces, 'task')}, {format_duration(prediction.reduce_s)} each"
        click.echo(f"  reduce   {reduce}")
    click.echo(f"  output   {format_size(prediction.output_bytes)}, about {prediction.output_records:,} records")
    click.echo(f"  disk     {format_size(prediction.volume_bytes)} while it runs")
    memory = prediction.slot_bytes * shape.slots
    click.echo(f"  memory   {format_size(prediction.slot_bytes)} a slot, {format_size(memory)} in all")
    steps = f"start-up {format_duration(prediction.start_s)}, map {format_duration(prediction.maps_s)}"
    steps += f", reduce {format_duration(prediction.reduces_s)}" if shape.reduces else ""
    slots = plural(shape.slots, "slot")
    click.echo(f"  time     about {format_duration(prediction.total_s)} with {slots}: {steps}")


def _spilling(prediction: Prediction) -> str:
    return f", each map spills about {prediction.spills} times" if prediction.spills else ""


def _compare(folder: Path, sample_bytes: int, limit_s: int) -> int:
    from mapreduce_cli.planning.comparing import comparison, what_happened
    from mapreduce_cli.planning.predicting import predict

    happened = what_happened(folder)
    measures, _, shape = _measure(happened.job, happened.slots, True, sample_bytes, limit_s)
    prediction = predict(measures, shape)
    click.echo(f"job '{happened.job.name}' with {happened.slots} slot{'' if happened.slots == 1 else 's'}")
    click.echo(f"  {'':<16}{'predicted':>12}{'happened':>12}")
    for what, predicted, was, apart in comparison(prediction, happened):
        click.echo(f"  {what:<16}{predicted:>12}{was:>12}  {apart}".rstrip())
    return 0
