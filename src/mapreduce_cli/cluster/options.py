"""The options that name a cluster and a namespace, alike for all commands, and what they mean together.

A command line means a cluster when it says so (`-n`, `--context`, `--kubeconfig`, `kubectl mr`, or the environment), a
coordinator when it says that (`--dir`, `--coordinator`). What is meant by neither: `mapreduce_cli.jobnames`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click
from click.core import ParameterSource

from mapreduce_cli.cluster.access import ClusterAddress
from mapreduce_cli.connect import Address
from mapreduce_cli.main import PLUGIN

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command line says that its job is."""

    address: Address
    cluster: ClusterAddress
    means_cluster: bool
    """Options, environment or the way it was called say so."""
    means_coordinator: bool
    is_typed: bool = False
    """The options that say so were typed, and did not come from the environment."""


_FOLDER: Final = click.Path(path_type=Path)
_CLUSTER_OPTIONS: Final = (
    click.option(
        "-n",
        "--namespace",
        envvar="MR_NAMESPACE",
        metavar="NAMESPACE",
        help="Namespace of the cluster.  [$MR_NAMESPACE, else the context's]",
    ),
    click.option(
        "--context",
        envvar="MR_CONTEXT",
        metavar="CONTEXT",
        help="Context of the kubeconfig.  [$MR_CONTEXT, else the current one]",
    ),
    click.option(
        "--kubeconfig",
        type=_FOLDER,
        envvar="MR_KUBECONFIG",
        metavar="FILE",
        help="The kubeconfig.  [$MR_KUBECONFIG, else as kubectl]",
    ),
)
_COORDINATOR_OPTIONS: Final = (
    click.option(
        "--dir", "dir_", type=_FOLDER, metavar="FOLDER", help="State folder of a coordinator of this machine."
    ),
    click.option("--coordinator", metavar="URL", help="URL of a coordinator outside clusters."),
    click.option("--token-file", type=_FOLDER, envvar="MR_TOKEN_FILE", help="File with its token.  [$MR_TOKEN_FILE]"),
)


def target_options(command: _Command) -> _Command:
    """All options that say where a job is; the command receives them as one `Target` named `target`."""
    return _collecting(command, (*_CLUSTER_OPTIONS, *_COORDINATOR_OPTIONS))


def cluster_options(command: _Command) -> _Command:
    """The options of a cluster alone, for commands that exist only there; also as one `Target` named `target`."""
    return _collecting(command, _CLUSTER_OPTIONS)


def _collecting(command: _Command, options: tuple[Any, ...]) -> _Command:
    def collect(**values: Any) -> Any:
        target = _target(
            Address(values.pop("dir_", None), values.pop("coordinator", None), values.pop("token_file", None)),
            ClusterAddress(values.pop("namespace"), values.pop("context"), values.pop("kubeconfig")),
        )
        return command(target=target, **values)

    collect.__name__, collect.__doc__ = command.__name__, command.__doc__
    decorated: Any = collect
    decorated.__click_params__ = list(getattr(command, "__click_params__", []))
    for option in reversed(options):
        decorated = option(decorated)
    return cast("_Command", decorated)


def _target(address: Address, cluster: ClusterAddress) -> Target:
    """What the options mean together. Raises UsageError when they say two things at once."""
    context = click.get_current_context()
    typed = [
        option
        for name, option in (("namespace", "-n"), ("context", "--context"), ("kubeconfig", "--kubeconfig"))
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    means_coordinator = address.folder is not None or address.url is not None
    if typed and means_coordinator:
        given = "--dir" if address.folder is not None else "--coordinator"
        raise click.UsageError(f"{typed[0]} means a cluster and {given} a coordinator outside one: give one of them")
    says_cluster = bool(typed) or context.find_root().obj == PLUGIN or cluster != ClusterAddress()
    return Target(address, cluster, says_cluster and not means_coordinator, means_coordinator, bool(typed))
