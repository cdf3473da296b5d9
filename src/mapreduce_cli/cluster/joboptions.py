"""Options of a job that mean something in a cluster only: its pods' image and number, its claims, its time to live."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import click

from mapreduce.units import CLAIM_SIZE
from mapreduce_cli.options import duration

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterJobOptions:
    """What a command line asks for; None is not asked for."""

    workers: int | None = None
    image: str | None = None
    output_size: str | None = None
    """Of the claim that is made for the output where there is none, such as `10Gi`."""
    runs_size: str | None = None
    """Of a claim for the runs alone."""
    storage_class: str | None = None
    ttl_s: int | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were given, as they are typed."""
        names = ("--workers", "--image", "--output-size", "--runs-size", "--storage-class", "--ttl")
        return tuple(name for name, value in zip(names, dataclasses.astuple(self), strict=True) if value is not None)


def quantity(text: str) -> str:
    """A size as Kubernetes writes it (`500Mi`, `10Gi`); as click's `type`."""
    found = text[:-1] if text.endswith("B") and text[:-1].endswith("i") else text
    if re.fullmatch(CLAIM_SIZE, found) is None:
        raise click.BadParameter(f"{text!r} is no size of a claim; write it like 500Mi or 10Gi")
    return found


def cluster_job_options(command: _Command) -> _Command:
    """Give a command these options, as one parameter `there`."""

    @functools.wraps(command)
    def collected(
        *arguments: Any,
        workers: int | None,
        image: str | None,
        output_size: str | None,
        runs_size: str | None,
        storage_class: str | None,
        ttl_s: int | None,
        **others: Any,
    ) -> Any:
        there = ClusterJobOptions(workers, image, output_size, runs_size, storage_class, ttl_s)
        return command(*arguments, there=there, **others)

    decorated: Any = collected
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("_Command", decorated)


_OPTIONS: Final = (
    click.option("--workers", type=click.IntRange(0, 10_000), metavar="N", help="Workers to start.  [2]"),
    click.option("--image", metavar="IMAGE", help="Image in which the code runs.  [the operator's worker image]"),
    click.option(
        "--output-size",
        type=quantity,
        metavar="SIZE",
        help="Make the output's claim, of this size, if it does not exist; it outlives the job.",
    ),
    click.option(
        "--runs-size",
        type=quantity,
        metavar="SIZE",
        help="Keep intermediate runs on a claim of their own, of this size.  [on the log's, 1Gi]",
    ),
    click.option("--storage-class", metavar="CLASS", help="StorageClass of both claims.  [the cluster's default]"),
    click.option("--ttl", "ttl_s", type=duration, metavar="TIME", help="Delete the job so long after its end."),
)
