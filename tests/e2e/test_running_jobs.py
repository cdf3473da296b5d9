"""Jobs in a real cluster: applied, run, waited for, read and deleted, as their users do it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support import clusterjobs
from tests.support.claimfiles import claim, claim_files, read_claim
from tests.support.kubecalls import Namespace, condition, holds
from tests.support.tree import ROOT

EXAMPLE = ROOT / "examples" / "wordcount.yaml"


@pytest.mark.parametrize("shuffle", [pytest.param("Shared", marks=pytest.mark.full), "Peer"])
def test_the_example_gives_what_the_oracle_gives(namespace: Namespace, shuffle: str, tmp_path: Path) -> None:
    job = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    job["spec"]["storage"] = {"shuffle": shuffle}
    namespace.apply(job)
    namespace.kubectl("wait", "--for=condition=Finished", "--timeout=240s", "mapreducejob/wordcount", timeout_s=250)
    ended = clusterjobs.await_complete(namespace, "wordcount")
    assert clusterjobs.parts(read_claim(namespace, "results", "wordcount")) == clusterjobs.oracle(job, tmp_path)
    assert ended["status"]["maps"]["progress"] == "2/2"
    assert ended["status"]["reduces"]["progress"] == "2/2"
    assert ended["status"]["maps"].get("remade", 0) == 0


@pytest.mark.parametrize("shuffle", ["Shared", pytest.param("Peer", marks=pytest.mark.full)])
def test_inputs_on_a_claim_are_split_and_counted(namespace: Namespace, shuffle: str, tmp_path: Path) -> None:
    files = {f"books/{number}.txt": clusterjobs.text(400, seed=number).encode() for number in range(3)}
    namespace.apply(claim("books"))
    with claim_files(namespace, "books") as books:
        books.write(files)
    job = clusterjobs.job(
        "split",
        inputs=[{"uri": "pvc://books/books/*.txt"}],
        splitSizeBytes=8192,
        storage={"shuffle": shuffle},
    )
    namespace.apply(job)
    ended = clusterjobs.await_complete(namespace, "split")
    assert ended["status"]["maps"]["total"] > len(files)
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(job, tmp_path, files)


@pytest.mark.full
def test_a_deleted_job_leaves_its_output_and_nothing_else(namespace: Namespace, tmp_path: Path) -> None:
    job = clusterjobs.job("gone", texts=[clusterjobs.text(20)])
    namespace.apply(job)
    ended = clusterjobs.await_complete(namespace, "gone")
    clusterjobs.delete_and_check(namespace, ended)
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(job, tmp_path)


@pytest.mark.full
def test_a_job_deleted_amid_its_work_leaves_nothing(namespace: Namespace) -> None:
    job = clusterjobs.job(
        "stopped", code=clusterjobs.SLOW_WORDCOUNT, texts=["a b\n" * 600], args={"seconds_per_line": "0.5"}
    )
    namespace.apply(job)
    started = namespace.get("mapreducejob", "stopped")
    clusterjobs.await_pods(namespace, started, "worker")
    clusterjobs.delete_and_check(namespace, started)


def test_code_that_cannot_be_imported_fails_the_job_with_the_reason_and_the_line(namespace: Namespace) -> None:
    namespace.apply(clusterjobs.job("broken", code="import no_such_module\n", texts=["a\n"]))
    ended = clusterjobs.await_end(namespace, "broken")
    failed = condition(ended, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "InvalidCode")
    assert "no_such_module" in failed["message"]
    assert not holds("Complete")(ended)


def test_code_that_raises_fails_the_job_with_the_record_it_raised_at(namespace: Namespace) -> None:
    code = "def mapper(line):\n    yield int(line), 1\n\n\ndef reducer(key, ones):\n    yield key, sum(ones)\n"
    namespace.apply(clusterjobs.job("raises", code=code, texts=["1\n2\nthree\n"], maxAttempts=2))
    failed = condition(clusterjobs.await_end(namespace, "raises"), "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "TaskFailed")
    assert "three" in failed["message"]


@pytest.mark.full
def test_an_output_that_is_there_is_refused_and_not_touched(namespace: Namespace) -> None:
    namespace.apply(clusterjobs.job("first", texts=["first\n"]))
    clusterjobs.await_complete(namespace, "first")
    namespace.apply(clusterjobs.job("second", texts=["second\n"]))
    failed = condition(clusterjobs.await_end(namespace, "second"), "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "OutputExists")
    assert b"first" in b"".join(read_claim(namespace, "output", "counts").values())
