"""Whether the object, or the code that it names, is still what the job was started with. Pure."""

from __future__ import annotations

from mapreduce_operator.manifests import snapshot
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.problem import Problem


def of(seen: Observed) -> Problem | None:
    """What has changed since the start; None when nothing has, or it has not started."""
    if not seen.is_started:
        return None
    status = seen.job.status
    began_with = seen.snapshot.spec_digest if seen.snapshot is not None else status.spec_digest
    if began_with and snapshot.spec_digest(seen.job.raw_spec) != began_with:
        return Problem("SpecChanged")
    code = seen.snapshot.code_digest if seen.snapshot is not None else status.code_digest
    if seen.code is None:  # not looked at in this pass: as it was
        found = seen.job.condition("SpecDrift")
        is_known = found is not None and found.status == "True" and found.reason == "CodeChanged"
        return Problem("CodeChanged") if is_known and seen.job.raw_spec.get("code", {}).get("configMapRef") else None
    if code and seen.code.text is not None and snapshot.code_digest(seen.job.raw_spec, seen.code.text) != code:
        return Problem("CodeChanged")
    return None
