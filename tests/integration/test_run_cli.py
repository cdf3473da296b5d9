"""`mr run` with real processes: results, refusals, resuming, interrupting, overwriting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import until_quiet
from tests.support.mrruns import DEADLINE_S, WORD_COUNT, GatedJob, is_alive, mr, names_below, parts, until

TEXTS = {"a.txt": "the cat and the dog\n" * 50, "b.txt": "a dog, a cat\n\n" * 30, "c.txt": "é\u2028x the end"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a job and some text."""
    (tmp_path / "wc.py").write_text(WORD_COUNT)
    (tmp_path / "books").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "books" / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[GatedJob]:
    job = GatedJob(tmp_path)
    yield job
    job.end()


# ------------------------------------------------------------------------------------------------------------ results


def test_word_count_equals_the_sequential_oracle_byte_for_byte_and_leaves_nothing_behind(work: Path) -> None:
    arguments = ["wc.py", "books/*.txt", "--reducers", "3", "--split-size", "100"]
    done = mr("run", *arguments, "-o", "out", "--workers", "2", cwd=work)
    mr("run", *arguments, "-o", "oracle", "--sequential", cwd=work)
    mr("run", *arguments, "-o", "inline", "--inline", cwd=work)
    assert parts(work / "out") == parts(work / "oracle") == parts(work / "inline")
    assert "job 'wc' done in" in done.stdout
    assert "3 parts in out" in done.stdout
    left = names_below(work / "out" / "_mapreduce")
    assert not [
        name for name in left if name.split("/")[0] in {"attempts", "scratch", "token", "endpoint.json", "workers"}
    ]
    assert not [name for name in left if name.endswith((".run", ".out", ".trace", ".tmp"))]
    assert json.loads((work / "out" / "_mapreduce" / "owner.json").read_bytes())["end"] == "Complete"
    assert mr("wal", "verify", "out", cwd=work).stdout.startswith("sound:")
    assert "JobFinished" in mr("wal", "dump", "out", cwd=work).stdout


def test_a_map_only_job_with_names_of_its_own(work: Path) -> None:
    mr(
        *("run", "wc.py", "books/a.txt", "books/b.txt", "-o", "out", "--workers", "2"),
        *("--reducers", "0", "--split-size", "1k", "--name-template", "mr-out-{partition}"),
        cwd=work,
    )
    assert sorted(parts(work / "out")) == ["mr-out-0", "mr-out-1"]
    assert (work / "out" / "mr-out-0").read_text().startswith("the\t1\ncat\t1\n")
    refused = mr("get", "out", "--merge", cwd=work, check=2)
    assert "not in ascending order" in refused.stderr


def test_the_result_is_merged_and_ranked_by_get(work: Path) -> None:
    mr("run", "wc.py", "books", "-o", "out", "--reducers", "4", "--workers", "2", cwd=work)
    whole = mr("get", "out", "--merge", cwd=work).stdout.split("\n")[:-1]
    assert [line.split("\t")[0] for line in whole] == sorted(
        set(" ".join(TEXTS.values()).replace("\u2028", " ").split())
    )
    assert mr("get", "out", "--top", "1", cwd=work).stdout == "the\t101\n"
    mr("get", "out", "-o", "copy/", cwd=work)
    assert parts(work / "copy") == parts(work / "out")


def test_a_manifest_runs_with_its_paths_beside_it(work: Path) -> None:
    (work / "jobs").mkdir()
    (work / "wc.py").rename(work / "jobs" / "wc.py")
    (work / "jobs" / "wc.yaml").write_text(
        "apiVersion: mapreduce.dev/v1alpha1\nkind: MapReduceJob\nmetadata: {name: words}\n"
        "spec:\n  code: {volumePath: wc.py}\n  inputs: [{uri: ../books/a.txt}]\n  output: {uri: ../out}\n"
    )
    done = mr("run", "jobs/wc.yaml", "--workers", "1", cwd=work)
    assert "job 'words' done" in done.stdout
    assert parts(work / "out")["part-00000"] == b"and\t50\ncat\t50\ndog\t50\nthe\t100\n"


def test_arguments_reach_the_functions_and_counters_come_back(work: Path) -> None:
    (work / "long.py").write_text(
        "def mapper(line, ctx):\n"
        "    for word in line.split():\n"
        "        if len(word) >= int(ctx.args['min']):\n"
        "            yield word\n"
        "        else:\n"
        "            ctx.count('short')\n"
    )
    done = mr(
        *("run", "long.py", "books/a.txt", "-o", "out", "--arg", "min=4", "--reducer", "count", "--workers", "1"),
        cwd=work,
    )
    assert parts(work / "out") == {}
    assert "short  250" in done.stdout


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wc.py", "books/d.txt"], "books/d.txt: does not exist. Did you mean"),
        (["wc.py", "empty"], "holds no files"),
        (["wc.py", "none/*.txt"], "matches no files"),
        (["wc.py", "fifo"], "is a FIFO"),
        (["wc.py", "dangling"], "is a link to nowhere, which does not exist"),
        (["nomapper.py", "books"], "has no mapper"),
        (["wc.py", "books", "--mapper", "maper"], "Did you mean mapper?"),
        (["wc.py", "books", "--name-template", "part"], "mr: --name-template: 'part' gives"),
        (["misspelt.yaml"], "there is no such field. Did you mean inputs?"),
        (["wc.py", "books", "-o", "full"], "holds no result of ours"),
        (["wc.py", "books", "-o", "wc.py"], "is a file, not a folder"),
        (["wc.py", "books", "-o", "books", "--overwrite"], "holds no result of ours"),
        (["wc.py", "books", "--py-files", "none.py"], "there is no such file or folder"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2_and_leaves_nothing(
    work: Path, arguments: list[str], words: str
) -> None:
    (work / "empty").mkdir()
    (work / "full").mkdir()
    (work / "full" / "thesis.tex").write_text("years of work")
    os.mkfifo(work / "fifo")
    (work / "dangling").symlink_to("nowhere")
    (work / "nomapper.py").write_text("def reducer(key, values):\n    yield key, 1\n")
    (work / "misspelt.yaml").write_text(
        "apiVersion: mapreduce.dev/v1alpha1\nkind: MapReduceJob\nmetadata: {name: words}\n"
        "spec:\n  code: {volumePath: wc.py}\n  input: [{uri: books}]\n  output: {uri: out}\n"
    )
    before = names_below(work)
    output = [] if "-o" in arguments else ["-o", "deep/out"]
    done = mr("run", *arguments, *output, "--workers", "1", cwd=work, check=2)
    assert words in done.stderr
    assert done.stderr.startswith("mr: ")
    assert done.stderr.count("\n") == 1
    assert names_below(work) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(work: Path) -> None:
    (work / "books" / "a.txt").chmod(0)
    assert "may not be read" in mr("run", "wc.py", "books", "-o", "out", cwd=work, check=2).stderr


def test_code_that_cannot_be_imported_is_shown_with_its_traceback(work: Path) -> None:
    (work / "wc.py").write_text("import json\njson.nothing\n")
    done = mr("run", "wc.py", "books", "-o", "out", cwd=work, check=2)
    assert "wc.py cannot be imported: AttributeError" in done.stderr
    assert "json.nothing" in done.stderr
    assert not (work / "out").exists()


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_failing_job_ends_with_cause_task_record_traceback_log_and_retry(work: Path) -> None:
    (work / "bad.py").write_text("def mapper(line):\n    print('seen', line)\n    yield line, 1 // len(line.split())\n")
    done = mr("run", "bad.py", "books/b.txt", "-o", "out", "--workers", "1", "--max-attempts", "2", cwd=work, check=1)
    for words in (
        "job 'bad' failed",
        "ZeroDivisionError",
        "map-0, attempt",
        "books/b.txt, byte",
        "in mapper",
        "mr run bad.py",
    ):
        assert words in done.stderr, words
    assert "mr logs out --task map-0" in done.stderr
    assert "seen a dog, a cat" in mr("logs", "out", "--task", "map-0", cwd=work).stdout
    again = mr("run", "wc.py", "books/b.txt", "-o", "out", "--workers", "1", cwd=work)
    assert "the run before failed; starting from the beginning" in again.stderr


#: `mr run` that is killed when it begins to wait for the end of its workers, its clean-up being far from done.
KILLED_AT_ITS_END = """
import os, runpy, signal, threading
from mapreduce.coordinator.store import Store
from mapreduce.local import hosting

async def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

Store.clean_up = lambda *_, **__: threading.Event().wait()
hosting.wait_until_gone = killed
runpy.run_module("mapreduce_cli", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(("value", "end"), [("1 // 0", "failed"), ("time.sleep(600)", "was cancelled")])
def test_a_run_killed_after_the_end_of_its_job_and_before_its_own_leaves_the_folder_to_corrected_code(
    work: Path, value: str, end: str
) -> None:
    (work / "bad.py").write_text(f"import time\ndef mapper(line):\n    yield line, {value}\n")
    command = [sys.executable, "-c", KILLED_AT_ITS_END, "run", "bad.py", "books/b.txt", "-o", "out", "--workers", "1"]
    with subprocess.Popen([*command, "--max-attempts", "1"], cwd=work, stderr=subprocess.DEVNULL) as killed:
        if end == "was cancelled":
            state = work / "out" / "_mapreduce"
            cancel = ("cancel", "1", "--dir", state)  # its answer may come too late, or its job be none yet
            until(lambda: killed.poll() is not None or not mr(*cancel, cwd=work, check=None).returncode, "a job")
        assert killed.wait(DEADLINE_S) == -signal.SIGKILL
    until_quiet(work)
    again = mr("run", "wc.py", "books/b.txt", "-o", "out", "--workers", "1", cwd=work)
    assert f"the run before {end}; starting from the beginning" in again.stderr


def test_the_reference_run_fails_with_the_users_traceback_and_none_of_ours(work: Path) -> None:
    (work / "bad.py").write_text("def mapper(line):\n    yield line, 1 // 0\n")
    told = mr("run", "bad.py", "books/a.txt", "-o", "out", "--sequential", cwd=work, check=1).stderr
    assert told.startswith("mr: the reference run of job 'bad' failed")
    assert told.count("File ") == 1
    assert f'File "{work / "bad.py"}", line 2, in mapper' in told


def test_a_crash_in_compiled_code_shows_the_users_own_lines_and_file(work: Path) -> None:
    (work / "bad.py").write_text("import ctypes\ndef mapper(line):\n    yield line, ctypes.string_at(0)\n")
    told = mr("run", "bad.py", "books/a.txt", "-o", "out", "--max-attempts", "1", cwd=work, check=1).stderr
    assert "SIGSEGV" in told
    assert f'File "{work / "bad.py"}", line 3 in mapper' in told
    assert "Extension modules" not in told
    assert "mapreduce_worker" not in told


# ------------------------------------------------------------------------------------------- interrupting and resuming


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on_and_the_same_command_does(
    gated: GatedJob, number: signal.Signals, code: int
) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    workers = running.workers()
    assert len(workers) >= 2
    exit_code, err = running.end(number)
    assert exit_code == code
    assert "stopped with 7 of 8 maps and 0 of 2 reduces committed; the same command goes on from there" in err
    assert not any(is_alive(pid) for pid in workers)
    assert not (gated.out / "_mapreduce" / "token").exists()
    waited = mr("wait", gated.out, cwd=gated.folder, check=3)
    assert "nobody runs it; the same command goes on" in waited.stderr
    gated.open_gate()
    done = mr("run", *gated.arguments, cwd=gated.folder)
    assert "resuming, 7 of 8 maps already committed" in done.stderr
    assert gated.calls_of_committed() == dict.fromkeys(range(7), 1)
    assert parts(gated.out) == gated.reference()


def test_a_second_interrupt_ends_at_once_and_the_same_command_still_goes_on(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    workers = running.workers()
    for pid in workers:  # nobody can leave in order
        os.kill(pid, signal.SIGSTOP)
    running.process.send_signal(signal.SIGINT)
    assert running.process.stderr is not None
    while "Ctrl-C again ends at once" not in running.process.stderr.readline():
        assert running.process.poll() is None
    assert running.end(signal.SIGINT)[0] == 130
    until(lambda: not any(is_alive(pid) for pid in running.workers()), "the end of workers")
    gated.open_gate()
    assert "resuming, 7 of 8 maps" in mr("run", *gated.arguments, cwd=gated.folder).stderr


def test_after_kill_9_of_everything_the_same_command_redoes_nothing_committed(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    running.kill_everything()
    gated.open_gate()
    done = mr("run", *gated.arguments, cwd=gated.folder)
    assert "resuming, 7 of 8 maps already committed" in done.stderr
    assert gated.calls_of_committed() == dict.fromkeys(range(7), 1)
    assert parts(gated.out) == gated.reference()


def test_orphans_of_a_killed_run_end_by_themselves(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    workers = running.workers()
    running.process.kill()
    running.process.communicate()
    until(lambda: not any(is_alive(pid) for pid in workers), "the end of orphans")


def test_a_killed_worker_is_replaced_and_the_job_completes(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    os.kill(running.workers()[0], signal.SIGKILL)
    gated.open_gate()
    _, err = running.process.communicate(timeout=120)
    assert running.process.returncode == 0, err
    assert "was killed by SIGKILL" in err
    assert parts(gated.out) == gated.reference()


def test_an_unfinished_run_refuses_another_job_and_says_what_changed(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    running.kill_everything()
    gated.open_gate()
    other = [*gated.arguments, "--arg", "extra=1", "--reducers", "3"]
    refused = mr("run", *other, cwd=gated.folder, check=2).stderr
    assert "reducers was 2 and is 3" in refused
    assert '--arg extra was not given and is "1"' in refused
    assert "--restart" in refused
    (gated.folder / "0.txt").write_text("changed")
    assert "input files changed:" in mr("run", *gated.arguments, cwd=gated.folder, check=2).stderr
    (gated.folder / "gated.py").write_text(WORD_COUNT)
    refused = mr("run", *gated.arguments, cwd=gated.folder, check=2).stderr
    assert "the code changed (gated.py)" in refused
    mr("run", *gated.arguments, "--restart", cwd=gated.folder)
    assert len(parts(gated.out)) == 2


def test_the_modes_that_cannot_resume_refuse_an_unfinished_run_and_leave_its_work(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    running.kill_everything()
    gated.open_gate()
    for mode in ("--inline", "--sequential"):
        assert "holds an unfinished run" in mr("run", *gated.arguments, mode, cwd=gated.folder, check=2).stderr
    assert "resuming, 7 of 8 maps already committed" in mr("run", *gated.arguments, cwd=gated.folder).stderr


# ------------------------------------------------------------------------------------------------------ output folders


def test_two_runs_on_one_output_one_runs_and_the_other_is_refused(gated: GatedJob) -> None:
    running = gated.start()
    gated.until_only_the_gated_is_left(running)
    refused = mr("run", *gated.arguments, "--overwrite", "--restart", cwd=gated.folder, check=2)
    assert "another run is using it" in refused.stderr
    gated.open_gate()
    running.process.communicate(timeout=120)
    assert running.process.returncode == 0


def test_a_finished_result_is_kept_unless_it_may_be_overwritten_and_foreign_files_stay(work: Path) -> None:
    arguments = ["run", "wc.py", "books/a.txt", "-o", "out", "--workers", "1"]
    mr(*arguments, "--reducers", "3", cwd=work)
    (work / "out" / "notes.txt").write_text("mine")
    before = parts(work / "out")
    assert "Add --overwrite" in mr(*arguments, cwd=work, check=2).stderr
    assert "Add --overwrite" in mr(*arguments, "--restart", cwd=work, check=2).stderr
    assert parts(work / "out") == before
    mr(*arguments, "--overwrite", "--reducers", "1", cwd=work)
    assert sorted(parts(work / "out")) == ["notes.txt", "part-00000"]


def test_a_run_without_a_terminal_writes_plain_lines_only(work: Path) -> None:
    done = mr("run", "wc.py", "books", "-o", "out", "--workers", "1", cwd=work)
    assert "\x1b" not in done.stdout + done.stderr


def test_check_compares_the_engine_with_the_reference_on_a_sample(work: Path) -> None:
    assert "can be run" in mr("check", "wc.py", cwd=work).stdout
    assert (
        "in 1 part, the same by the engine and by the reference" in mr("check", "wc.py", "books/a.txt", cwd=work).stdout
    )
    (work / "odd.py").write_text(WORD_COUNT + "\ndef combiner(word, counts):\n    yield word, 1\n")
    assert "the combiner changes the result" in mr("check", "odd.py", "books/a.txt", cwd=work, check=1).stdout
