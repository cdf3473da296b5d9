#!/usr/bin/env python3
"""Builds the cluster's parts into the cache folder: `python3 cluster/build.py [--only GROUP ...]`.

Groups: `api` (etcd, kube-apiserver, kubectl), `helm`, `kind`, `nodes` (what runs on a node), `base` (the Debian base
and the layer above it), `node-image` (all of `api`, `nodes` and `base`, and the image). Without `--only` all of them.
What is there already costs nothing; what was cut short goes on.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cluster import caching, engines, gobuild, nodeimage, probing, productimages, programs
from cluster.deciding import Way, decide_way
from cluster.errors import ClusterError
from cluster.running import end_all, say

GROUPS: Final = ("api", "helm", "kind", "nodes", "base", "node-image")
_IN_ORDER: Final = ("api", "nodes", "kind", "helm")
"""Groups of Go programs: those that something waits for come first."""
_OF_THE_IMAGE: Final = frozenset({"api", "nodes", "base"})


def needed_groups(wanted: Collection[str]) -> frozenset[str]:
    """The groups wanted and those they are made from."""
    return frozenset(wanted) | (_OF_THE_IMAGE if "node-image" in wanted else frozenset())


def build(wanted: Collection[str] = GROUPS) -> None:
    """Builds the groups: Go programs one after the other, Debian's part beside them, the node image at the end."""
    needed = needed_groups(wanted)
    with ThreadPoolExecutor(max_workers=2) as lanes:
        debian_lane = lanes.submit(_build_base) if "base" in needed else None
        try:
            for group in (group for group in _IN_ORDER if group in needed):
                for unit in programs.units_of(group):
                    gobuild.built(unit)
                if group == "nodes" and "node-image" in needed and debian_lane:
                    debian_lane.result()
                    nodeimage.ensure(engines.podman())
            if debian_lane:
                debian_lane.result()
        except BaseException:
            end_all()  # else the other lane would be waited for
            raise


def prepare() -> None:
    """Builds what the way to a cluster that this machine has needs, in the order in which tests want it."""
    way = decide_way(probing.gather_facts()).way
    build(groups_of(way))
    productimages.build(engines.docker() if way is Way.DOCKER else engines.podman())


def groups_of(way: Way) -> frozenset[str]:
    """Where the nodes are made by somebody else, only what the light tier and the tests call themselves is built."""
    match way:
        case Way.PODMAN:
            return frozenset(GROUPS)
        case Way.DOCKER:
            return frozenset({"api", "kind", "helm"})
        case Way.GIVEN:
            return frozenset({"api", "helm"})


def remove_older() -> None:
    """Removes from the cache what the present sources do not use."""
    engine = engines.podman()
    kept = [gobuild.entry_of(unit) for unit in programs.UNITS]
    for name in [*caching.remove_others(kept), *nodeimage.remove_older(engine)]:
        say(f"removed {name}")


def _build_base() -> None:
    nodeimage.ensure_system(engines.podman())


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="cluster/build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--prune", action="store_true", help="then remove from the cache what is no longer used")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that what was started is ended
    started = time.monotonic()
    try:
        build(chosen.only)
        if chosen.prune:
            remove_older()
    except ClusterError as error:
        say(f"cluster/build.py: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"{time.monotonic() - started:7.1f} s  in all: {', '.join(chosen.only)} in {caching.cache_root()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
