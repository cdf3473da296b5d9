"""Odd inputs and odd records through the whole engine: what comes out is the oracle's output, or a refusal in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mapreduce.scheduling import records
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simjobs import INVERTED_INDEX, SimJob, parts_in
from tests.support.simulation import Simulation, simulate

ODD_KEYS = r"""
def mapper(line):
    for key in ("", "a\tb", "c\nd", "\0", "\u2028", "x" * 100_000, b"\xff\xfe", "\udcff", ("t", 1, None), None, True):
        yield key, 1
    yield line, 1
"""

NUMBERS = """
def mapper(line):
    yield float("nan"), 1
    yield -0.0, 1
    yield 0.0, 1
    yield 0, 1
    yield 1, 1
    yield True, 1
    yield 1.0, 1
    yield 10**30, 1
    yield float(line), 1
"""

SUMS = """
def mapper(line):
    yield "total", float(line)
    yield "mean", float(line)
"""

SETS = """
def mapper(line):
    for word in set(line.split()):
        yield word, 1
"""

RECORD_LENGTH = """
def mapper(offset, line):
    yield line, offset
"""

NOTHING = """
def mapper(line):
    return None
"""


def run(
    root: Path, job: SimJob, *, phases: tuple[JobPhase, ...] = (JobPhase.COMPLETE,), workers: int = 2
) -> Simulation:
    with simulate(root) as sim:
        sim.add_workers(workers)
        sim.run_job(job)
        sim.finish(phases=phases)
        return sim


@pytest.mark.parametrize("output_format", ["text", "jsonl"])
def test_d3_keys_of_every_kind_come_out_byte_for_byte(tmp_path: Path, output_format: str) -> None:
    texts: dict[str, str | bytes] = {"a.txt": b"caf\xe9 \xff\n\n\t\nplain\n"}
    run(tmp_path, SimJob(code=ODD_KEYS, texts=texts, output_format="text" if output_format == "text" else "jsonl"))


@pytest.mark.parametrize("reducers", [0, 1, 3])
@pytest.mark.parametrize("text", ["", "\n", "one line"])
def test_d6_empty_and_tiny_inputs_give_a_valid_output(tmp_path: Path, reducers: int, text: str) -> None:
    reducer = None if reducers == 0 else "sum"
    sim = run(tmp_path, SimJob(texts={"a.txt": text}, reducers=reducers, reducer=reducer))
    assert (sim.jobs[1].output / "_SUCCESS").exists()


def test_d6_a_job_whose_mapper_yields_nothing_has_no_parts(tmp_path: Path) -> None:
    sim = run(tmp_path, SimJob(code=NOTHING))
    assert parts_in(sim.jobs[1].output) == {}


def test_d6_a_map_only_job_publishes_a_part_for_each_map(tmp_path: Path) -> None:
    sim = run(tmp_path, SimJob(reducers=0, reducer=None))
    assert len(parts_in(sim.jobs[1].output)) == sim.job(1).maps.count


def test_d6_many_small_files_are_packed_into_few_splits(tmp_path: Path) -> None:
    texts = {f"{number:04}.txt": f"word{number % 7} again\n" for number in range(300)}
    sim = run(tmp_path, SimJob(texts=texts, split_bytes=1_000))
    assert sim.job(1).maps.count < 10


def test_d6_a_folder_without_files_is_refused_in_words(tmp_path: Path) -> None:
    sim = run(tmp_path, SimJob(texts={}), phases=(JobPhase.FAILED,))
    assert sim.job(1).reason == "InvalidInput"


@pytest.mark.parametrize("what", ["missing", "fifo", "dangling link", "looping link", "unreadable"])
def test_d8_inputs_that_cannot_be_read_are_refused_before_any_work(tmp_path: Path, what: str) -> None:
    if what == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads everything")
    with simulate(tmp_path) as sim:
        placed = SimJob(texts={"a.txt": "a b\n"}).place(tmp_path)
        path = tmp_path / "in" / "job" / "a.txt"
        if what == "unreadable":
            path.chmod(0)
        else:
            path.unlink()
        if what == "missing":
            path.parent.rmdir()
        elif what == "fifo":
            os.mkfifo(path)
        elif what == "dangling link":
            path.symlink_to("nowhere")
        elif what == "looping link":
            path.symlink_to("a.txt")
        sim.add_workers(1)
        sim.submit_placed(placed)
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(1).reason == "InvalidInput"
        assert str(path.parent) in sim.job(1).message
        assert not any(isinstance(record, records.LeasesGranted) for record in sim.seen_records)


@pytest.mark.parametrize("change", ["grown", "cut", "touched", "deleted"])
def test_d8_an_input_that_changes_under_the_job_is_noticed(tmp_path: Path, change: str) -> None:
    with simulate(tmp_path) as sim:
        number = sim.submit()
        sim.run_until(lambda: sim.job(number).phase is JobPhase.MAPPING)
        path = tmp_path / "in" / "job" / "b.txt"
        data = path.read_bytes()
        if change == "grown":
            path.write_bytes(data + b"more\n")
        elif change == "cut":
            path.write_bytes(data[:-5])
        elif change == "touched":
            os.utime(path, ns=(1, 1))
        else:
            path.unlink()
        sim.add_workers(2)
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(number).reason == "BadInput"
        assert "b.txt" in sim.job(number).message


@pytest.mark.parametrize("split_bytes", [1, 2, 3, 5, 7, 11, 16, 40, 10_000])
def test_d10_records_across_every_split_edge(tmp_path: Path, split_bytes: int) -> None:
    text = b"\xef\xbb\xbffirst\r\n\r\n\nlonger line here\r\nx\n\xe2\x80\xa8y\x0bz\nlast without newline"
    run(tmp_path, SimJob(code=RECORD_LENGTH, reducer="list", texts={"a.txt": text}, split_bytes=split_bytes))


def test_d11_not_a_number_signed_zeros_and_equal_numbers_of_different_types(tmp_path: Path) -> None:
    run(tmp_path, SimJob(code=NUMBERS, texts={"a.txt": "1.5\n-0.0\n1e308\n", "b.txt": "nan\ninf\n2\n"}, split_bytes=8))


@pytest.mark.parametrize("reducer", ["sum", "mean"])
def test_d11_float_sums_do_not_depend_on_how_the_input_is_cut(tmp_path: Path, reducer: str) -> None:
    text = "".join(f"{number * 0.1}\n{-1e16}\n{1e16}\n" for number in range(30))
    outputs = []
    for split_bytes in (7, 50, 10_000):
        root = tmp_path / str(split_bytes)
        sim = run(root, SimJob(code=SUMS, texts={"a.txt": text}, split_bytes=split_bytes, reducer=reducer))
        outputs.append(parts_in(sim.jobs[1].output))
    assert outputs[0] == outputs[1] == outputs[2]


def test_d11_the_order_of_sets_in_the_mapper_does_not_show(tmp_path: Path) -> None:
    run(tmp_path, SimJob(code=SETS, texts={"a.txt": " ".join(f"w{n}" for n in range(200))}))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("reducers", [1, 2, 7])
def test_the_output_does_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int, reducers: int) -> None:
    run(tmp_path, SimJob(code=INVERTED_INDEX, reducer="reducer", reducers=reducers), workers=workers)
