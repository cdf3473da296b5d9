"""Whatever the content and wherever it is cut, the splits together give what a naive reader of the whole file gives."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapreduce.dataplane.readers import ReadLimits, read_split
from mapreduce.dataplane.splits import InputFile, plan_splits
from mapreduce.model import Input, InputFormat
from tests.support.inputs import naive_lines, naive_text, plan, read_all

_PIECES = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"\r",
        b"a",
        b"word ",
        b"\xef\xbb\xbf",
        "\u2028".encode(),
        "\x85".encode(),
        b"\xff",
        b"\xe2\x82",
        "é".encode(),
        b"\0",
        b"\x0b\x0c\x1c",
    ]
)
_CONTENT = st.lists(_PIECES, max_size=24).map(b"".join)


def _written(data: bytes, name: str = "input") -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, name)
    path.write_bytes(data)
    return folder, path


@settings(max_examples=150, deadline=None)
@given(data=_CONTENT, block=st.integers(1, 9))
@example(data=b"\xef\xbb\xbf", block=1)
@example(data=b"a\r\n\r\nb", block=1)
@example(data=b"\n\n\n", block=2)
@example(data=b"no newline at the end", block=3)
@example(data=b"\xef\xbb\xbf\nx\r", block=2)
def test_lines_of_all_splits_equal_those_of_the_whole_file_for_every_split_size(data: bytes, block: int) -> None:
    folder, path = _written(data)
    limits = ReadLimits(block_bytes=block)
    with folder:
        for size in range(1, len(data) + 2):
            assert read_all(path, split_size_bytes=size, limits=limits) == naive_text(data)
            assert read_all(path, split_size_bytes=size, limits=limits, encoding="bytes") == naive_lines(data)


@settings(max_examples=50, deadline=None)
@given(data=_CONTENT)
def test_each_split_reads_the_lines_that_start_inside_it(data: bytes) -> None:
    folder, path = _written(data)
    source = Input(uri=str(path), encoding="bytes")
    with folder:
        for split in plan(source, 3) if data else []:
            starts = [offset for block in read_split(split, source) for offset in block.offsets()]
            owned = [
                offset
                for offset, _ in naive_lines(data)
                if any(part.start <= offset < part.end for part in split.files)
            ]
            assert starts == owned


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(_JSON, max_size=8), ascii_only=st.booleans(), end=st.sampled_from(["\n", "\r\n", "\n\n", " \n"])
)
def test_json_lines_equal_what_the_json_module_reads_for_every_split_size(
    documents: list[Any], ascii_only: bool, end: str
) -> None:
    text = "".join(json.dumps(document, ensure_ascii=ascii_only) + end for document in documents)
    data = text.encode("utf-8", "surrogatepass" if not ascii_only else "strict")
    folder, path = _written(data)
    with folder:
        for size in {1, 2, 7, len(data) // 2 + 1, len(data) + 1}:
            read = read_all(path, kind="jsonl", split_size_bytes=size)
            assert [value for _, value in read] == [json.loads(json.dumps(document)) for document in documents]
            assert [offset for offset, _ in read] == [offset for offset, line in naive_lines(data) if line.strip()]


@settings(max_examples=60, deadline=None)
@given(data=_CONTENT, block=st.integers(1, 9))
def test_a_compressed_file_reads_like_the_plain_one(data: bytes, block: int) -> None:
    folder, path = _written(gzip.compress(data), "input.gz")
    with folder:
        assert read_all(path, split_size_bytes=5, limits=ReadLimits(block_bytes=block)) == naive_text(data)


_FILES = st.lists(st.integers(0, 40), max_size=12)
_FORMATS: st.SearchStrategy[InputFormat] = st.sampled_from(["lines", "jsonl", "csv", "files"])


@given(sizes=st.lists(st.tuples(_FILES, _FORMATS), min_size=1, max_size=3), split=st.integers(1, 50))
def test_a_plan_covers_every_byte_once_in_order_and_is_bounded(
    sizes: list[tuple[list[int], InputFormat]], split: int
) -> None:
    files = [
        [InputFile(f"{index}/{number:03d}", size, 7) for number, size in enumerate(listed)]
        for index, (listed, _) in enumerate(sizes)
    ]
    formats = [kind for _, kind in sizes]
    plan_made = list(plan_splits(files, formats, split))
    assert plan_made == list(plan_splits(files, formats, split))
    covered = [(made.input, part) for made in plan_made for part in made.files]
    assert [made.input for made in plan_made] == sorted(made.input for made in plan_made)
    for index, listed in enumerate(files):
        expected = [(file.path, file.bytes) for file in listed if file.bytes or formats[index] == "files"]
        parts = [part for owner, part in covered if owner == index]
        assert list(dict.fromkeys((part.path, part.size) for part in parts)) == expected
        for path, size in expected:
            ranges = [(part.start, part.end) for part in parts if part.path == path]
            assert ranges[0][0] == 0
            assert ranges[-1][1] == size
            assert all(left[1] == right[0] for left, right in itertools.pairwise(ranges))
    for made in plan_made:
        is_cuttable = formats[made.input] in {"lines", "jsonl"}
        assert made.bytes <= split or (len(made.files) == 1 and not is_cuttable)
