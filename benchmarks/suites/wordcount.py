"""Word count: our two ways and the peers, on the same files; `keys` is the same with a large vocabulary."""

from __future__ import annotations

from typing import Any

from benchmarks.answers import count_of_counts
from benchmarks.bench import Bench
from benchmarks.contest import Contestant, hold_contest
from benchmarks.contestants import WORD_COUNT_PEERS, ours, word_count_peer
from benchmarks.corpora import Corpus, make_corpus

WORDCOUNT_MIB = 512
KEYS_MIB = 256


def run_wordcount(bench: Bench) -> dict[str, Any]:
    """Lines of the seed texts: a small vocabulary, bound by the mapper."""
    return _run(bench, make_corpus("text", bench.size_mib or WORDCOUNT_MIB, bench.seeds))


def run_keys(bench: Bench) -> dict[str, Any]:
    """Millions of distinct words: bound by grouping, spills and the merge."""
    return _run(bench, make_corpus("keys", bench.size_mib or KEYS_MIB, bench.seeds))


def _run(bench: Bench, corpus: Corpus) -> dict[str, Any]:
    contestants: list[Contestant] = [
        ours("mr-pairs-sum", "word_pairs.py", corpus.files, workers=bench.workers, is_grouped=True),
        ours("mr-keys-count", "word_keys.py", corpus.files, workers=bench.workers, is_grouped=True),
        *(word_count_peer(name, corpus) for name in WORD_COUNT_PEERS if name in bench.peers),
    ]
    report = hold_contest(bench.rules, contestants, input_bytes=corpus.bytes, read_output=count_of_counts)
    return {"corpus": corpus.name, **report}
