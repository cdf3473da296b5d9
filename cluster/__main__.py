"""The command line of the test cluster: `python3 -m cluster COMMAND`, or `python3 cluster COMMAND`.

What other programs read goes to standard output, what people read to standard error.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path

if __package__ in {None, ""}:  # `python3 cluster …` runs this folder, not the package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cluster import build, engines, gobuild, kindcluster, productimages, programs, selftest
from cluster.caching import cache_root
from cluster.deciding import Way
from cluster.errors import ClusterError
from cluster.nodes import Cluster
from cluster.running import say


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code is 1 when the cluster, or a part of it, cannot be had."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that what was started is ended
    try:
        return _carry_out(chosen)
    except ClusterError as error:
        say(f"cluster: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster", description="A real Kubernetes to test on. See docs/test-cluster.md."
    )
    parser.add_argument("--name", default=kindcluster.default_name(), help="the cluster's name (CLUSTER_NAME)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it, or find it running; prints what a shell needs")
    up.add_argument(
        "--nodes", type=int, default=kindcluster.default_nodes(), help="the control plane and workers (NODES)"
    )
    commands.add_parser("down", help="end it; nothing of it stays but the cache")
    commands.add_parser("env", help="print what a shell needs: KUBECONFIG, PATH")
    commands.add_parser("build-env", help="print what podman needs to see our images: for building the product's image")
    commands.add_parser("status", help="which way it was made, and whether it answers; exit code 0 when it does")
    commands.add_parser("selftest", help="prove on it what tests rely on; kills a worker and starts it again")
    commands.add_parser("node-image", help="build the node image where it is needed")
    commands.add_parser("prepare", help="build all that this machine's way to a cluster needs, and start nothing")
    commands.add_parser("images", help="build the product's two images and put them into the cluster")
    load = commands.add_parser("load", help="put the images of an archive (docker save) into every node")
    load.add_argument("archive", type=Path)
    for name, what in (("kill-node", "end a node as a power cut does"), ("start-node", "start a killed node again")):
        commands.add_parser(name, help=what).add_argument("node")
    return parser


def _carry_out(chosen: argparse.Namespace) -> int:
    match chosen.command:
        case "up":
            for unit in programs.units_of("helm"):  # people and e2e tests want it beside the cluster
                gobuild.built(unit)
            _print_env(kindcluster.up(chosen.name, chosen.nodes))
        case "down":
            say(f"cluster {chosen.name}: {'ended' if kindcluster.down(chosen.name) else 'there was none of ours'}")
        case "env":
            _print_env(_running(chosen.name))
        case "build-env":
            _print_exports(engines.podman().env)
        case "status":
            return _print_status(chosen.name)
        case "selftest":
            selftest.run(_running(chosen.name))
        case "prepare":
            build.prepare()
        case "images":
            cluster = kindcluster.up(chosen.name, kindcluster.default_nodes())
            say(f"images {productimages.ensure_in(cluster)} are in cluster {chosen.name}")
        case "node-image":
            build.build({"node-image"})
        case "load":
            _running(chosen.name).load(chosen.archive)
        case "kill-node":
            _running(chosen.name).kill_node(chosen.node)
        case "start-node":
            _running(chosen.name).start_node(chosen.node)
        case unknown:
            raise AssertionError(unknown)
    return 0


def _running(name: str) -> Cluster:
    known = kindcluster.current(name)
    if known is None:
        raise ClusterError(f"there is no cluster {name}: start it by `make cluster`")
    return known


def _print_env(cluster: Cluster) -> None:
    _print_exports({"KUBECONFIG": cluster.kubeconfig})
    print(f'export PATH={shlex.quote(str(cache_root() / "bin"))}:"$PATH"')


def _print_exports(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


def _print_status(name: str) -> int:
    known = kindcluster.current(name)
    if known is None:
        print(f"{name}: not started")
        return 1
    answers = known.is_answering()
    nodes = ", ".join(known.nodes) if Way(known.way) is not Way.GIVEN else "not ours"
    print(f"{name}: {known.way}, nodes {nodes}, {'answers' if answers else 'does not answer'}")
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
