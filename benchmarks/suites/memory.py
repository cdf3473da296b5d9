"""Real memory (PSS) of each worker, its executor included, and of the coordinator, for each corpus."""

from __future__ import annotations

from typing import Any

from benchmarks.answers import count_of_counts, nothing
from benchmarks.bench import Bench
from benchmarks.contest import hold_contest, say
from benchmarks.contestants import ours
from benchmarks.corpora import make_corpus

SIZE_MIB = 256
JOBS = {"pairs-sum": "word_pairs.py", "keys-count": "word_keys.py", "pairs-list": "word_places.py"}


def run_memory(bench: Bench) -> dict[str, Any]:
    """See `peak_pss_mib_of`: one entry for each worker, and `coordinator`."""
    cases = {}
    for kind in ("text", "keys"):
        corpus = make_corpus(kind, bench.size_mib or SIZE_MIB, bench.seeds)
        for name, job in JOBS.items():
            say(f" {kind}, {name}")
            contestant = ours(f"mr-{name}", job, corpus.files, workers=bench.workers, is_grouped=True)
            answer = count_of_counts if name != "pairs-list" else nothing
            report = hold_contest(bench.rules, [contestant], input_bytes=corpus.bytes, read_output=answer)
            peaks = report["contestants"][contestant.name].get("peak_pss_mib_of", {})
            largest = max((size for group, size in peaks.items() if group != "coordinator"), default=0.0)
            cases[f"{kind}/{name}"] = {"corpus": corpus.name, "largest_worker_mib": largest, **report}
    return cases
