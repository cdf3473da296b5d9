"""Deterministic corpora: the same arguments and seed texts give the same bytes, on any machine.

text   lines drawn at random, with replacement, from the seed texts: a small vocabulary, as books have
keys   their words with a Zipf-distributed suffix of letters: millions of distinct keys
lines  numbered lines of eight bytes, one for each trivial task

Seed texts are a folder of `*.txt` files, or else the Python standard library's own sources and documentation topics.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import random
import re
import string
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.caching import READY, cached_folder

FORMAT = 1
"""Part of every key: raise it when the bytes that a generator makes change."""
SEED = 20_240_824
MIB = 1 << 20
MAX_FILE_MIB = 16
MIN_FILES = 4
SUFFIXES = 20_000
ZIPF_EXPONENT = 0.9
LINE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files of one corpus, in order."""

    name: str
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def mib(self) -> float:
        """Size of all files in MiB."""
        return self.bytes / MIB


def seed_lines(folder: Path | None) -> list[bytes]:
    """All lines of the seed texts that are UTF-8, each with its newline."""
    paths = sorted(folder.glob("*.txt")) if folder else list(_standard_library())
    if not paths:
        raise SystemExit(f"no *.txt files in {folder}: give another folder with --seed-texts")
    lines = []
    for path in paths:
        for line in path.read_bytes().split(b"\n"):
            clean = line.rstrip(b"\r")
            try:
                clean.decode()
            except UnicodeDecodeError:
                continue
            lines.append(clean + b"\n")
    return lines


def _standard_library() -> Iterator[Path]:
    """The standard library's modules, without its tests (some hold odd encodings on purpose) and installed packages."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if not {"test", "tests", "site-packages", "dist-packages", "idle_test"} & set(path.relative_to(root).parts):
            yield path


def make_corpus(kind: str, size_mib: float, seeds: Path | None) -> Corpus:
    """The corpus `text` or `keys` of about `size_mib` MiB, from the cache when it was made before."""
    count = max(MIN_FILES, round(size_mib / MAX_FILE_MIB))
    each_bytes = int(size_mib * MIB / count)
    lines = seed_lines(seeds)
    digest = hashlib.sha256(b"".join(lines)).hexdigest()[:12]
    name = f"{kind}-{size_mib:g}mib-{count}-{digest}-v{FORMAT}"

    def build(folder: Path) -> None:
        _Sources.lines = lines
        jobs = [(kind, folder / f"{kind}-{index:03d}.txt", each_bytes, index) for index in range(count)]
        with multiprocessing.get_context("fork").Pool() as pool:  # fork: the seed lines are shared, not sent
            pool.map(_write_file, jobs, chunksize=1)

    return _corpus(name, cached_folder(f"corpora/{name}", build))


def make_lines(count: int) -> Corpus:
    """One file of `count` lines of `LINE_BYTES` bytes."""

    def build(folder: Path) -> None:
        with open(folder / "lines.txt", "wb") as out:
            out.writelines(b"%07d\n" % (number % 10**7) for number in range(count))

    name = f"lines-{count}-v{FORMAT}"
    return _corpus(name, cached_folder(f"corpora/{name}", build))


def _corpus(name: str, folder: Path) -> Corpus:
    return Corpus(name, tuple(sorted(path for path in folder.iterdir() if path.name != READY)))


class _Sources:
    """What the writing processes inherit by fork."""

    lines: Sequence[bytes] = ()


def _write_file(job: tuple[str, Path, int, int]) -> None:
    kind, path, size_bytes, index = job
    rng = random.Random(SEED * 1_000_003 + index * 7 + {"text": 1, "keys": 2}[kind])
    draw = _text_lines(rng) if kind == "text" else _key_lines(rng)
    left = size_bytes
    with open(path, "wb") as out:
        for line in draw:
            if len(line) > left:
                return
            out.write(line)
            left -= len(line)


def _text_lines(rng: random.Random) -> Iterator[bytes]:
    while True:
        yield from rng.choices(_Sources.lines, k=20_000)


def _key_lines(rng: random.Random) -> Iterator[bytes]:
    words = [word.lower() for line in _Sources.lines for word in re.findall(rb"[A-Za-z]+", line)]
    suffixes = list(itertools.islice(_letter_strings(), SUFFIXES))
    weights = list(itertools.accumulate((rank + 1) ** -ZIPF_EXPONENT for rank in range(SUFFIXES)))
    while True:
        stems = rng.choices(words, k=50_000)
        tails = rng.choices(suffixes, cum_weights=weights, k=50_000)
        tokens = [stem + b"x" + tail for stem, tail in zip(stems, tails, strict=True)]
        for start in range(0, len(tokens), 10):
            yield b" ".join(tokens[start : start + 10]) + b"\n"


def _letter_strings() -> Iterator[bytes]:
    """a, b, ..., z, aa, ab, ...: letters, so that every tokeniser agrees on the words."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters).encode()
