"""One worker against two, for both kinds of corpus."""

from __future__ import annotations

from typing import Any

from benchmarks.answers import count_of_counts
from benchmarks.bench import Bench
from benchmarks.contest import hold_contest, say
from benchmarks.contestants import ours
from benchmarks.corpora import make_corpus

SIZE_MIB = 256


def run_scaling(bench: Bench) -> dict[str, Any]:
    """The ratio is how many times faster two workers are than one."""
    cases = {}
    for kind in ("text", "keys"):
        say(f" {kind}")
        corpus = make_corpus(kind, bench.size_mib or SIZE_MIB, bench.seeds)
        pair = [ours(f"mr-{count}-workers", "word_pairs.py", corpus.files, workers=count) for count in (2, 1)]
        report = hold_contest(bench.rules, pair, input_bytes=corpus.bytes, read_output=count_of_counts)
        cases[kind] = {"corpus": corpus.name, **report}
    return cases
