"""Commands for jobs in a cluster, against an API server of a few lines: what is asked, what is said, how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.clustercommands import COMPLETE, FAILED, Person, condition, person, when_watched
from tests.support.fakecluster import JOBS

__all__ = ["person"]

WORD_COUNT = "def mapper(line):\n    yield line, 1\n\ndef reducer(word, counts):\n    yield word, sum(counts)\n"
WC = f"{JOBS.format(namespace='team-a')}/wc"


def test_jobs_are_listed_with_the_columns_of_kubectl(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    ran = person.mr("ls", "-n", "team-a")
    titles, row = ran.out.splitlines()
    assert titles.split() == ["NAME", "STATUS", "MAPS", "REDUCES", "WORKERS", "FAILED", "TIME", "AGE"]
    assert row.split()[:7] == ["wc", "Complete", "3/3", "2/2", "2/2", "0", "42"]


def test_a_wide_list_says_more(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    out = person.mr("ls", "-n", "team-a", "-o", "wide").out
    assert "Shared" in out
    assert "pvc://results/wc" in out
    assert "The whole output is in place." in out


def test_all_namespaces_are_listed_with_a_column_for_them(person: Person) -> None:
    person.cluster.job("one", "team-a")
    person.cluster.job("two", "team-b")
    lines = person.mr("ls", "-A").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["NAMESPACE", "NAME"], ["team-a", "one"], ["team-b", "two"]]


def test_names_are_printed_as_kubectl_takes_them_and_taken_as_they_were_printed(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    name = person.mr("ls", "-n", "team-a", "-o", "name").out.strip()
    assert name == "mapreducejob.mapreduce.dev/wc"
    assert person.mr("wait", name).code == 0


@pytest.mark.parametrize(("format_", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_one_job_is_shown_as_the_api_server_holds_it(person: Person, format_: str, read: object) -> None:
    person.cluster.job("wc", status=COMPLETE)
    assert callable(read)
    shown = read(person.mr("ls", "wc", "-n", "team-a", "-o", format_).out)
    assert (shown["kind"], shown["metadata"]["name"], shown["status"]["state"]) == ("MapReduceJob", "wc", "Complete")
    listed = read(person.mr("ls", "-n", "team-a", "-o", format_).out)
    assert (listed["kind"], len(listed["items"])) == ("List", 1)


def test_the_namespace_is_the_options_then_the_environments_then_the_contexts(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_for(*options: str) -> str:
        person.mr("ls", *options)
        return person.cluster.asked[-1].path.split("/")[5]

    assert asked_for() == "team-a"
    assert asked_for("--context", "elsewhere") == "other"
    monkeypatch.setenv("MR_NAMESPACE", "from-environment")
    assert asked_for() == "from-environment"
    assert asked_for("-n", "typed") == "typed"


def test_as_a_plugin_of_kubectl_a_command_means_the_cluster(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    assert "wc" in person.mr("ls", is_plugin=True).out
    assert "kubectl mr" in person.mr("ls", "--nonsense", is_plugin=True).err


def test_an_empty_namespace_is_said_and_an_empty_list_printed(person: Person) -> None:
    told = person.mr("ls", "-n", "empty").err
    assert told.startswith("mr: there are no MapReduceJobs in namespace empty; those of `mr run`")
    assert json.loads(person.mr("ls", "-n", "empty", "-o", "json").out)["items"] == []


def test_a_job_is_created_with_its_code_in_it(person: Person) -> None:
    Path("wc.py").write_text(WORD_COUNT)
    ran = person.mr("submit", "wc.py", "pvc://books/", "-o", "pvc://results/wc", "-n", "team-a", "--workers", "3")
    assert (ran.code, ran.out) == (0, "mapreducejob.mapreduce.dev/wc\n"), ran.err
    spec = person.cluster.objects[WC]["spec"]
    assert spec["code"] == {"inline": WORD_COUNT}
    assert spec["inputs"] == [{"uri": "pvc://books/"}]
    assert spec["output"] == {"uri": "pvc://results/wc"}
    assert spec["workers"] == {"replicas": 3}


def test_a_small_file_of_this_machine_travels_with_the_job(person: Person) -> None:
    Path("wc.py").write_text(WORD_COUNT)
    Path("notes.txt").write_text("a b\n")
    assert person.mr("submit", "wc.py", "notes.txt", "-o", "pvc://results/wc").code == 0
    assert person.cluster.objects[WC]["spec"]["inputs"] == [{"inline": "a b\n"}]


def test_a_submission_whose_answer_got_lost_makes_one_job(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapreduce_cli.cluster.submitting._PAUSE_S", 0.0)
    Path("wc.py").write_text(WORD_COUNT)
    person.cluster.lost_answers = 1
    ran = person.mr("submit", "wc.py", "pvc://books/", "-o", "pvc://results/wc")
    assert (ran.code, ran.out) == (0, "mapreducejob.mapreduce.dev/wc\n")
    assert [method for method, _ in person.cluster.methods()].count("POST") == 2
    assert len(person.cluster.objects) == 1


def test_a_name_that_is_taken_is_said_with_both_ways_out(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    Path("wc.py").write_text(WORD_COUNT)
    ran = person.mr("submit", "wc.py", "pvc://books/", "-o", "pvc://results/wc", "-n", "team-a")
    assert ran.code == 2
    assert "has a MapReduceJob 'wc' already (Complete)" in ran.err
    assert "--name" in ran.err
    assert "`mr rm wc -n team-a`" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wc.py", "books/", "-o", "pvc://results/wc"], "a cluster does not see"),
        (["wc.py", "none/", "-o", "pvc://results/wc"], "does not exist here"),
        (["wc.py", "pvc://books/", "-o", "out/"], "a cluster writes to claims"),
        (["wc.py", "pvc://books/"], "no output is given"),
        (["wc.py", "-o", "pvc://results/wc"], "no input is given"),
        (["none.py", "pvc://books/", "-o", "pvc://results/wc"], "there is no such file"),
        (["wc.py", "pvc://b/", "-o", "pvc://r/x", "--py-files", "lib.py"], "--py-files does not reach a cluster"),
        (["broken.py", "pvc://b/", "-o", "pvc://r/x"], "SyntaxError"),
    ],
)
def test_what_a_cluster_could_not_do_is_refused_before_anything_is_created(
    person: Person, arguments: list[str], words: str
) -> None:
    Path("wc.py").write_text(WORD_COUNT)
    Path("broken.py").write_text("def mapper(:\n")
    Path("books").mkdir()
    ran = person.mr("submit", *arguments, "-n", "team-a")
    assert ran.code == 2
    assert words in ran.err
    assert person.cluster.objects == {}


def test_code_that_only_the_jobs_image_can_import_is_noted_and_submitted(person: Person) -> None:
    Path("wc.py").write_text("import not_here\n" + WORD_COUNT)
    ran = person.mr("submit", "wc.py", "pvc://books/", "-o", "pvc://results/wc", "--image", "registry/own:1")
    assert ran.code == 0, ran.err
    assert "No module named 'not_here'" in ran.err
    assert person.cluster.objects[WC]["spec"]["image"] == "registry/own:1"


def test_suspending_and_resuming_set_one_field(person: Person) -> None:
    person.cluster.job("wc")
    assert person.mr("suspend", "wc", "-n", "team-a").out == "job 'wc' is being suspended\n"
    assert person.cluster.objects[WC]["spec"]["suspend"] is True
    assert person.mr("suspend", "wc", "-n", "team-a").out == "job 'wc' is suspended already\n"
    assert person.mr("resume", "wc", "-n", "team-a").out == "job 'wc' is going on\n"
    assert person.cluster.objects[WC]["spec"]["suspend"] is False


def test_scaling_goes_through_the_scale_subresource(person: Person) -> None:
    person.cluster.job("wc")
    assert person.mr("scale", "wc", "--workers", "8", "-n", "team-a").code == 0
    assert person.cluster.methods()[-1] == ("PATCH", f"{WC}/scale")
    assert person.cluster.objects[WC]["spec"]["workers"] == {"replicas": 8}


@pytest.mark.parametrize("command", [("suspend",), ("resume",), ("scale", "--workers", "2")])
def test_a_job_that_has_ended_is_left_alone(person: Person, command: tuple[str, ...]) -> None:
    person.cluster.job("wc", status=COMPLETE)
    ran = person.mr(*command, "wc", "-n", "team-a")
    assert (ran.code, "has ended already" in ran.out) == (0, True)
    assert {method for method, _ in person.cluster.methods()} == {"GET"}


def test_removing_deletes_the_very_job_that_was_seen(person: Person) -> None:
    person.cluster.job("wc")
    assert person.mr("rm", "wc", "-n", "team-a").out == 'mapreducejob.mapreduce.dev "wc" deleted\n'
    assert person.cluster.objects == {}
    options = json.loads(person.cluster.asked[-1].body)
    assert options["preconditions"] == {"uid": "wcxxxxxx-0000"}


def test_one_wrong_name_among_several_removes_nothing(person: Person) -> None:
    person.cluster.job("wc")
    ran = person.mr("rm", "wc", "wd", "-n", "team-a")
    assert ran.code == 2
    assert "there is no MapReduceJob 'wd' in namespace team-a" in ran.err
    assert list(person.cluster.objects) == [WC]


def test_waiting_ends_when_the_job_does_and_the_exit_code_says_how(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.cluster.job("wc", status={"state": "Mapping"})
    when_watched(monkeypatch, lambda: person.cluster.status("wc", **COMPLETE))
    ran = person.mr("wait", "wc", "-n", "team-a")
    assert (ran.code, ran.err) == (0, "mr: job 'wc' is complete, output in pvc://results/wc\n")


def test_ctrl_c_ends_the_waiting_and_says_what_becomes_of_the_job(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    person.cluster.job("wc", status={"state": "Mapping"})
    when_watched(monkeypatch, interrupt)
    ran = person.mr("wait", "wc", "-n", "team-a")
    assert ran.code == 130
    assert "job 'wc' goes on; `mr wait wc -n team-a` waits for it" in ran.err


def test_waiting_for_a_job_that_somebody_deletes_ends(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.cluster.job("wc", status={"state": "Mapping"})
    when_watched(monkeypatch, lambda: person.cluster.remove(WC))
    ran = person.mr("wait", "wc", "-n", "team-a")
    assert (ran.code, ran.err) == (1, "mr: job 'wc' was deleted\n")


def test_waiting_no_longer_than_asked_says_where_to_look(person: Person) -> None:
    person.cluster.job("wc", status={"state": "Starting"})
    ran = person.mr("wait", "wc", "-n", "team-a", "--timeout", "1s")
    assert ran.code == 1
    assert ran.err == "mr: job 'wc' is still Starting; `mr why wc -n team-a` says more\n"


def test_a_failed_job_tells_cause_task_record_traceback_log_and_what_to_type(person: Person) -> None:
    person.cluster.job("wc", status=FAILED)
    ran = person.mr("wait", "wc", "-n", "team-a")
    assert ran.code == 1
    for words in (
        "job 'wc' failed: TaskFailed",
        "ValueError: no number: 'x3'",
        "map-3, attempt 4, worker mr-wc-workers-abc",
        "pvc://books/a.txt, byte 17: x",
        'File "job.py", line 2, in mapper',
        "mr logs wc -n team-a --task map-3",
        "`mr rm wc -n team-a`",
    ):
        assert words in ran.err


def test_while_waiting_what_keeps_the_job_is_said_once(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = condition("WorkersReady", "False", "QuotaExceeded", "The namespace's quota allows no more pods.")
    person.cluster.job("wc", status={"state": "Starting", "conditions": [stuck]})
    when_watched(
        monkeypatch,
        lambda: person.cluster.status("wc", message="again"),
        lambda: person.cluster.status("wc", **COMPLETE),
    )
    ran = person.mr("watch", "wc", "-n", "team-a")
    assert ran.code == 0
    assert ran.err.count("The namespace's quota allows no more pods.") == 1


def test_counters_come_from_the_object_when_the_coordinator_is_gone(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    assert person.mr("counters", "wc", "-n", "team-a").out == "COUNTER   COUNT\nwords     7\n"


def test_a_job_without_a_coordinator_cannot_be_cancelled_and_says_what_can_be_done(person: Person) -> None:
    person.cluster.job("wc", status={"state": "Starting"})
    ran = person.mr("cancel", "wc", "-n", "team-a")
    assert ran.code == 3
    assert "`mr rm wc -n team-a` deletes it" in ran.err


@pytest.mark.parametrize(
    ("status", "helps"),
    [
        ({"state": "Suspended", "conditions": [condition("Suspended", "True", "SuspendedByUser", "")]}, "mr resume"),
        ({"state": "Starting"}, "mr why"),
    ],
)
def test_what_only_a_coordinator_tells_is_answered_with_the_state_of_a_job_that_has_none(
    person: Person, status: dict[str, object], helps: str
) -> None:
    person.cluster.job("wc", status=status)
    for command in ("top", "page", "report", "trace"):
        ran = person.mr(command, "wc", "-n", "team-a")
        assert (ran.code, f"`{helps} wc -n team-a`" in ran.err) == (3, True)


def test_an_output_names_its_newest_job(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    assert person.mr("wait", "pvc://results/wc/", "-n", "team-a").code == 0


@pytest.mark.parametrize(
    ("status", "reason", "code", "words"),
    [
        (401, "Unauthorized", 3, "does not know you"),
        (403, "Forbidden", 3, "`mr doctor -n team-a` lists what is needed"),
        (
            404,
            "NotFound",
            2,
            "the cluster does not know MapReduceJobs: the operator's chart is not installed; `mr doctor -n team-a`",
        ),
        (503, "ServiceUnavailable", 3, "cannot do this now"),
    ],
)
def test_what_the_api_server_refuses_is_one_line_and_an_exit_code(
    person: Person, status: int, reason: str, code: int, words: str
) -> None:
    person.cluster.refusals["GET", JOBS.format(namespace="team-a")] = (status, reason)
    ran = person.mr("ls", "-n", "team-a")
    assert (ran.code, ran.err.count("\n")) == (code, 1)
    assert words in ran.err


def test_the_check_that_a_refusal_names_is_the_cluster_s_with_a_plain_kubeconfig_too(person: Person) -> None:
    person.cluster.refusals["GET", JOBS.format(namespace="team-a")] = (403, "Forbidden")
    assert "`mr doctor -n team-a` lists what is needed" in person.mr("ls").err


def test_a_cluster_that_does_not_answer_is_unreachable(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.cluster.url = "http://127.0.0.1:9"  # the port of `discard`: nobody listens
    monkeypatch.setenv("KUBECONFIG", str(person.cluster.kubeconfig(person.folder)))
    ran = person.mr("ls", "-n", "team-a")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "the API server at http://127.0.0.1:9 does not answer" in ran.err


def test_without_the_client_the_error_says_how_to_install_it(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    ran = person.mr("ls", "-n", "team-a")
    assert ran.code == 2
    assert "pip install 'kubernetes>=36'" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ls", "-n", "team-a", "--dir", "state"], "-n means a cluster and --dir a coordinator"),
        (["ls", "--kubeconfig", "none"], "there is no such file"),
        (["ls", "--context", "none"], "none"),
        (["suspend", "wd", "-n", "team-a"], "there is no MapReduceJob 'wd'"),
        (["get", "wd", "-n", "team-a"], "there is no MapReduceJob 'wd'"),
        (["get", "out/", "-n", "team-a"], "is no name of a MapReduceJob"),
        (["get", "wc", "-n", "team-a"], "it has no output; `mr why wc -n team-a`"),
        (["scale", "wc", "-n", "team-a"], "--workers"),
        (["wait", "pvc://results/gone", "-n", "team-a"], "no MapReduceJob writes to pvc://results/gone"),
        (["logs", "wc", "-n", "team-a", "--task", "map-1", "--worker", "x"], "exclude each other"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(person: Person, arguments: list[str], words: str) -> None:
    person.cluster.job("wc", status={"state": "Mapping"})
    ran = person.mr(*arguments)
    assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), ran.err
    assert words in ran.err
