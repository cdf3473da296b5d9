"""Publishing: parts get their names from the log alone, `_SUCCESS` comes last, and every step may be repeated."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import xxhash

from mapreduce.coordinator import publish as publishing
from mapreduce.coordinator.publish import Publication, plan_publication, publish
from mapreduce.errors import StorageFailed
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.protocol import messages as m
from mapreduce.scheduling import events
from mapreduce.scheduling.state import Job
from tests.support.machines import Bench

CONTENTS = {0: b"a\t1\n", 2: b"b\t2\nc\t3\n"}


def committed_job(root: Path, *, template: str = "part-{partition:05d}") -> tuple[Job, Path]:
    """A job with three reduces, of which the second made nothing; and the folder of its attempts."""
    spec = JobSpec(
        code=Code(inline="-"),
        inputs=(Input(uri="in"),),
        output=Output(uri=str(root / "out"), name_template=template),
        reducers=3,
    )
    bench = Bench()
    bench.register("a")
    bench.begin_job(1, 3, spec)
    attempts = root / "out" / "_mapreduce" / "attempts" / "1"
    attempts.mkdir(parents=True)
    bench.commit("a", bench.lease_one("a"), m.TaskOutput(counters={"words": 7}, input_records=4))
    for index in range(3):
        attempt = bench.lease_one("a")
        content = CONTENTS.get(index, b"")
        digest = xxhash.xxh3_64_intdigest(content) if content else 0
        if content:
            (attempts / f"{attempt.stem}.out").write_bytes(content)
        bench.commit(
            "a",
            attempt,
            m.TaskOutput(
                bytes=len(content),
                records=content.count(b"\n"),
                digest=digest,
                has_file=bool(content),
                key_type="str" if content else "",
                is_sorted=True,
            ),
        )
    assert bench.job.phase == "Committing"
    return bench.job, attempts


@pytest.fixture
def publication(tmp_path: Path) -> Publication:
    job, attempts = committed_job(tmp_path)
    return plan_publication(job, attempts, 1_700_000_000.0, "1.2.3")


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("part")}


@pytest.mark.parametrize("is_checked", [True, False])
def test_parts_that_came_over_the_network_are_compared_with_their_commits(tmp_path: Path, is_checked: bool) -> None:
    job, attempts = committed_job(tmp_path)
    changed = sorted(attempts.iterdir())[1]
    changed.write_bytes(b"B" + changed.read_bytes()[1:])
    missing, problem = publish(
        plan_publication(job, attempts, 1_700_000_000.0, "1.2.3", is_content_checked=is_checked), lambda: True
    )
    assert missing == ((2,) if is_checked else ())
    assert ("not what was committed" in problem) == is_checked
    assert bool(parts(tmp_path / "out")) != is_checked


def test_parts_get_their_names_and_success_says_what_they_are(publication: Publication) -> None:
    assert publish(publication, lambda: True) == ((), "")
    assert parts(publication.folder) == {"part-00000": CONTENTS[0], "part-00002": CONTENTS[2]}
    success = msgspec.json.decode((publication.folder / "_SUCCESS").read_bytes())
    assert success["counters"] == {"words": 7}
    assert success["emptyParts"] == [1]
    assert success["parts"]["part-00002"] == {
        "bytes": 8,
        "records": 2,
        "xxh3": f"{xxhash.xxh3_64_intdigest(CONTENTS[2]):016x}",
        "keyType": "str",
        "sorted": True,
    }
    assert success["input"]["records"] == 4
    assert success["version"] == "1.2.3"


def test_names_come_from_the_template(tmp_path: Path) -> None:
    job, attempts = committed_job(tmp_path, template="mr-out-{partition}")
    publish(plan_publication(job, attempts, 0.0, "1"), lambda: True)
    assert (tmp_path / "out" / "mr-out-2").read_bytes() == CONTENTS[2]


def test_publishing_again_changes_nothing(publication: Publication) -> None:
    publish(publication, lambda: True)
    before = (publication.folder / "_SUCCESS").read_bytes()
    assert publish(publication, lambda: True) == ((), "")
    assert (publication.folder / "_SUCCESS").read_bytes() == before


@pytest.mark.parametrize("harm", ["deleted", "cut", "grown"])
def test_an_output_that_is_not_what_was_committed_is_told_and_nothing_is_renamed(
    publication: Publication, harm: str
) -> None:
    source = publication.parts[1].source
    if harm == "deleted":
        source.unlink()
    else:
        source.write_bytes(CONTENTS[2][:-1] if harm == "cut" else CONTENTS[2] + b"x")
    missing, problem = publish(publication, lambda: True)
    assert missing == (2,)
    assert str(source) in problem
    assert parts(publication.folder) == {}
    assert not (publication.folder / "_SUCCESS").exists()


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EACCES, errno.EIO])
def test_an_output_of_which_nothing_can_be_told_is_a_failure_in_words_and_not_made_again(
    publication: Publication, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stat = Path.stat

    def fail(path: Path, **named: Any) -> os.stat_result:
        if path.suffix == ".out":
            raise OSError(number, os.strerror(number), str(path))
        return stat(path, **named)

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(StorageFailed, match=f"published to {publication.folder} .*{os.strerror(number)}"):
        publish(publication, lambda: True)


def test_a_part_under_its_final_name_counts_only_with_its_very_bytes(publication: Publication) -> None:
    part = publication.parts[0]
    part.source.unlink()
    part.target.write_bytes(b"A\t1\n")
    assert publish(publication, lambda: True)[0] == (0,)
    part.target.write_bytes(CONTENTS[0])
    assert publish(publication, lambda: True)[0] == ()


def test_who_was_overtaken_publishes_nothing(publication: Publication) -> None:
    with pytest.raises(StorageFailed, match="newer coordinator"):
        publish(publication, lambda: False)
    assert parts(publication.folder) == {}


def test_a_folder_that_cannot_be_written_is_a_failure_in_words(
    publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "replace_file", fail)
    with pytest.raises(StorageFailed, match="No space left"):
        publish(publication, lambda: True)
    assert not (publication.folder / "_SUCCESS").exists()


def test_a_job_without_any_output_has_a_success_and_no_parts() -> None:
    bench = Bench()
    bench.begin_job(0, 0)
    assert bench.job.phase == "Committing"
    made = plan_publication(bench.job, Path("nowhere"), 0.0, "1")
    assert made.parts == ()
    bench.turn(events.Published(bench.job.id))
