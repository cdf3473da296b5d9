"""The command line of the benchmarks: runs one suite, prints JSON to stdout and progress to stderr.

python benchmarks/run.py --suite wordcount|keys|scaling|startup|tasks|memory|page|operator|cluster [--size-mib N] ...
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench import Bench, clean_environment, work_folder
from benchmarks.contest import Rules, say
from benchmarks.contestants import ALL_PEERS
from benchmarks.machine import machine_facts
from benchmarks.suites.memory import run_memory
from benchmarks.suites.page import run_page
from benchmarks.suites.scaling import run_scaling
from benchmarks.suites.startup import run_startup
from benchmarks.suites.tasks import run_tasks
from benchmarks.suites.wordcount import run_keys, run_wordcount


def _run_operator(bench: Bench) -> dict[str, Any]:
    from benchmarks.suites.operator import run_operator  # its modules need what the others do not

    return run_operator(bench)


def _run_cluster(bench: Bench) -> dict[str, Any]:
    from benchmarks.suites.cluster import run_cluster  # as above

    return run_cluster(bench)


SUITES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "wordcount": run_wordcount,
    "keys": run_keys,
    "scaling": run_scaling,
    "startup": run_startup,
    "tasks": run_tasks,
    "memory": run_memory,
    "page": run_page,
    "operator": _run_operator,
    "cluster": _run_cluster,
}


def main() -> None:
    choices = parser().parse_args()
    if sys.platform != "linux":
        raise SystemExit("the benchmarks read /proc: they need Linux")
    with work_folder(choices.work) as work:
        rules = Rules(choices.runs, choices.timeout_s, choices.budget_s, work, clean_environment())
        bench = Bench(
            rules,
            choices.workers,
            peers_of(choices.peers),
            choices.seed_texts,
            choices.size_mib,
            choices.tasks,
            choices.peer_tasks,
            choices.jobs,
        )
        report = {"suite": choices.suite, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        report |= {"machine": machine_facts(work), "workers": choices.workers}
        say(f"suite {choices.suite}, {choices.runs} runs, {report['machine']}")
        report["report"] = SUITES[choices.suite](bench)
    print(json.dumps(report, indent=2))


def parser() -> argparse.ArgumentParser:
    """All options, with the defaults that `docs/performance.md` uses."""
    options = argparse.ArgumentParser(description="Measures this project and its peers in the same run.")
    options.add_argument("--suite", choices=SUITES, default="wordcount")
    options.add_argument("--runs", type=int, default=5, help="rounds; contestants take turns (default: 5)")
    options.add_argument("--size-mib", type=float, help="size of the input (default: 512 or 256, by suite)")
    options.add_argument("--workers", type=int, default=2, help="workers of our jobs (default: 2)")
    options.add_argument("--peers", default="all", help=f"all, none, or some of {','.join(ALL_PEERS)}")
    options.add_argument("--seed-texts", type=Path, help="folder of *.txt (default: Python's standard library)")
    options.add_argument("--work", type=Path, help="folder on the disk to measure (default: the cache folder)")
    options.add_argument("--tasks", type=int, default=1_000_000, help="suite tasks (default: 1000000)")
    options.add_argument("--peer-tasks", type=int, default=20_000, help="suite tasks, for a peer (default: 20000)")
    options.add_argument("--jobs", type=int, default=1_000, help="suite operator (default: 1000)")
    options.add_argument("--timeout-s", type=float, default=1_800.0, help="of one run (default: 1800)")
    options.add_argument(
        "--budget-s", type=float, default=600.0, help="no further run of a contestant after this (default: 600)"
    )
    return options


def peers_of(choice: str) -> tuple[str, ...]:
    """Names from the option `--peers`."""
    if choice in {"all", "none"}:
        return ALL_PEERS if choice == "all" else ()
    names = tuple(choice.split(","))
    unknown = sorted(set(names) - set(ALL_PEERS))
    if unknown:
        raise SystemExit(f"--peers: {', '.join(unknown)} unknown; there are {', '.join(ALL_PEERS)}")
    return names


if __name__ == "__main__":
    main()
