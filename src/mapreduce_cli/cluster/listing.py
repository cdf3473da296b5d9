"""Lists of MapReduceJobs, with the columns that `kubectl get` shows too."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from mapreduce.units import format_duration, format_size
from mapreduce_cli.cluster.jobs import ClusterJob, seconds_of
from mapreduce_cli.tables import Column, render


def show(found: Sequence[ClusterJob], format_: str, *, everywhere: bool = False, is_one: bool = False) -> str:
    """The jobs in the given format; `json` and `yaml` give the objects themselves, several as a List."""
    if format_ in {"json", "yaml"}:
        for job in found:
            job.raw.get("metadata", {}).pop("managedFields", None)
        items = [job.raw for job in found]
        whole = items[0] if is_one and items else {"apiVersion": "v1", "kind": "List", "items": items}
        if format_ == "json":
            return json.dumps(whole, indent=2) + "\n"
        import yaml

        return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    now_at = time.time()
    spaces: list[Column[ClusterJob]] = [Column("NAMESPACE", lambda job: job.namespace)] if everywhere else []
    columns: list[Column[ClusterJob]] = [
        *spaces,
        Column("NAME", lambda job: job.name),
        Column("STATUS", state_of),
        Column("MAPS", lambda job: job.status.maps.progress or "-"),
        Column("REDUCES", lambda job: job.status.reduces.progress or "-"),
        Column("WORKERS", lambda job: f"{job.status.workers.ready}/{job.status.workers.desired}"),
        Column("FAILED", lambda job: str(job.status.attempts_failed)),
        Column("TIME", lambda job: _time(job, now_at)),
        Column("AGE", lambda job: format_duration(now_at - job.created_at)),
        Column("INPUT", lambda job: format_size(job.status.input_bytes), is_wide=True),
        Column("SHUFFLE", lambda job: job.status.shuffle or "-", is_wide=True),
        Column("OUTPUT", lambda job: job.output, is_wide=True),
        Column("MESSAGE", lambda job: job.status.message.split("\n")[0] or "-", is_wide=True),
    ]
    return render(found, columns, format_, name=lambda job: f"mapreducejob.mapreduce.dev/{job.name}")


def state_of(job: ClusterJob) -> str:
    """One word for people."""
    if job.is_deleting:
        return "Deleting"
    return job.status.state or "Pending"


def _time(job: ClusterJob, now_at: float) -> str:
    started_at = seconds_of(job.status.start_time)
    if not started_at:
        return "-"
    return format_duration((seconds_of(job.status.completion_time) or now_at) - started_at)
