"""The cluster's cache: entries appear whole or not at all, once, and are found by what they were made from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.caching import cache_root, digest_of, digest_of_files, made_once, remove_others


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_root()


def _write(folder: Path) -> None:
    (folder / "made").write_text("whole")


def test_the_cache_lies_below_the_home_when_no_absolute_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == Path.home() / ".cache" / "mapreduce-cluster"


def test_an_entry_is_made_once(cache: Path) -> None:
    assert made_once("kind/a", _write) == cache / "kind/a"
    assert (made_once("kind/a", lambda folder: pytest.fail("made twice")) / "made").read_text() == "whole"


def test_an_entry_whose_making_failed_is_not_there_and_can_be_made_again(cache: Path) -> None:
    def fail(folder: Path) -> None:
        _write(folder)
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        made_once("kind/a", fail)
    assert not (cache / "kind/a").exists()
    assert (made_once("kind/a", _write) / "made").exists()


def test_what_a_killed_builder_left_is_not_part_of_the_entry(cache: Path) -> None:
    (cache / "kind/a.part").mkdir(parents=True)
    (cache / "kind/a.part/rubbish").touch()
    assert sorted(path.name for path in made_once("kind/a", _write).iterdir()) == ["made"]


def test_builders_at_the_same_time_make_an_entry_once() -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        _write(folder)

    with ThreadPoolExecutor(8) as builders:
        assert len(set(builders.map(lambda _: made_once("kind/a", make), range(8)))) == 1
    assert len(calls) == 1


def test_entries_no_longer_wanted_are_removed_and_other_kinds_stay(cache: Path) -> None:
    for name in ("go/old", "go/new", "base/old"):
        made_once(name, _write)
    assert remove_others(["go/new"]) == ["go/old"]
    assert sorted(str(path.relative_to(cache)) for path in cache.glob("[gb]*/*")) == ["base/old", "go/new"]


def test_a_digest_tells_where_a_part_ends() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_the_digest_of_files_changes_with_name_and_content_only(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")
    assert digest_of_files(one.iterdir()) == digest_of_files(sorted(other.iterdir(), reverse=True))
    (other / "b").write_text("3")
    assert digest_of_files(one.iterdir()) != digest_of_files(other.iterdir())
