"""Two outputs, part by part."""

from __future__ import annotations

import json
from pathlib import Path

from mapreduce.local.comparing import compare_outputs
from mapreduce.local.results import Results, open_results


def output(folder: Path, parts: dict[str, bytes], *, has_digests: bool = True) -> Results:
    """A finished output with these parts."""
    folder.mkdir()
    facts = {}
    for name, content in parts.items():
        (folder / name).write_bytes(content)
        digest = {"xxh3": f"{hash(content) & (1 << 64) - 1:016x}"} if has_digests else {}
        facts[name] = {"bytes": len(content), "records": content.count(b"\n"), **digest}
    (folder / "_SUCCESS").write_text(json.dumps({"format": 1, "parts": facts, "output": {"format": "text"}}))
    return open_results(folder)


def test_equal_outputs_have_no_difference(tmp_path: Path) -> None:
    parts = {"part-00000": b"a\t1\n", "part-00001": b"b\t2\nc\t3\n"}
    found = compare_outputs(output(tmp_path / "a", parts), output(tmp_path / "b", parts))
    assert (found.part_count, found.record_count, found.differences) == (2, 3, ())


def test_the_first_line_that_differs_is_shown_of_both(tmp_path: Path) -> None:
    one = output(tmp_path / "a", {"part-00000": b"a\t1\nb\t2\n"})
    other = output(tmp_path / "b", {"part-00000": b"a\t1\nb\t9\n"})
    [found] = compare_outputs(one, other).differences
    assert (found.part, found.sentence) == ("part-00000", "differs from record 2 on")
    assert (found.one, found.other) == ("b\t2", "b\t9")


def test_a_part_that_ends_early_is_told(tmp_path: Path) -> None:
    one = output(tmp_path / "a", {"part-00000": b"a\t1\n"})
    other = output(tmp_path / "b", {"part-00000": b"a\t1\nb\t9\n"})
    [found] = compare_outputs(one, other).differences
    assert found.sentence == "the first ends after 1 records, the second has more"
    assert (found.one, found.other) == (None, "b\t9")


def test_a_part_that_one_of_them_lacks_is_empty_there(tmp_path: Path) -> None:
    one = output(tmp_path / "a", {"part-00000": b"a\t1\n", "part-00001": b"b\t2\n"})
    other = output(tmp_path / "b", {"part-00000": b"a\t1\n"})
    found = compare_outputs(one, other)
    assert found.part_count == 2
    assert [difference.part for difference in found.differences] == ["part-00001"]


def test_without_digests_the_bytes_are_compared(tmp_path: Path) -> None:
    one = output(tmp_path / "a", {"part-00000": b"a\t1\n"}, has_digests=False)
    same = output(tmp_path / "b", {"part-00000": b"a\t1\n"}, has_digests=False)
    other = output(tmp_path / "c", {"part-00000": b"a\t2\n"}, has_digests=False)
    assert compare_outputs(one, same).differences == ()
    assert len(compare_outputs(one, other).differences) == 1
