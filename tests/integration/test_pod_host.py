"""The coordinator's side of a job in pods: what it takes, what it refuses for ever and how, what it keeps."""

from __future__ import annotations

import functools
import http.client
import http.server
import json
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import podcleanup
from mapreduce.errors import MapReduceError
from mapreduce.protocol.messages import WorkersGoneRequest
from tests.support.mrruns import until
from tests.support.podhost import PodHost

COUNTED = ["be\t2", "not\t1", "or\t1", "to\t2"]

Make = Callable[..., PodHost]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[PodHost] = []

    def one(**spec: Any) -> PodHost:
        more = {name: spec.pop(name) for name in ("code", "uid") if name in spec and isinstance(spec[name], str)}
        made.append(PodHost(tmp_path / "mr", spec, **more))
        return made[-1]

    yield one
    for host in made:
        host.close()


def test_the_job_is_submitted_once_and_found_by_later_starts(make: Make) -> None:
    host = make()
    status = host.run_to_its_end(is_shared=True)
    assert (status.state, status.output) == ("Complete", "pvc://data/out")
    assert host.lines() == COUNTED
    first = host.processes[-2]
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    (host.root / "prepared" / "description.json").unlink()  # later starts look at nothing but the log
    (host.claim / "in" / "a.txt").unlink()
    host.start(is_shared=True)
    assert host.until("Complete").reason == "Complete"
    assert host.run_worker("late") == 0
    assert not host.termination_path.exists()


def test_a_finished_job_leaves_nothing_but_its_result_in_the_output(make: Make) -> None:
    host = make()
    (host.root / "runs" / "work" / "pod-a").mkdir(parents=True)
    (host.out / "_mapreduce" / "work" / "pod-a").mkdir(parents=True)  # a pod was there before the coordinator
    host.run_to_its_end(is_shared=True)
    until(lambda: list((host.out / "_mapreduce").iterdir()) == [host.out / "_mapreduce" / "owner.json"], "clean-up")
    assert json.loads((host.out / "_mapreduce" / "owner.json").read_bytes())["end"] == "Complete"
    assert sorted(path.name for path in host.out.iterdir()) == ["_SUCCESS", "_mapreduce", "part-00000"]
    until(lambda: not list((host.root / "runs").iterdir()), "clean-up of runs")


def test_inputs_may_be_inline_in_a_configmap_or_behind_a_url(make: Make, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.txt").write_text("to url\n")
    with _serving(site) as url:
        host = make(
            inputs=[
                {"inline": "to inline\n"},
                {"uri": "configmap://words/*.txt"},
                {"uri": f"{url}/page.txt"},
                {"uri": "pvc://data/in"},
            ]
        )
        mounted = host.root / "configmaps" / "words"
        (mounted / "..data").mkdir(parents=True)
        (mounted / "..data" / "a.txt").write_text("to configmap\n")
        (mounted / "a.txt").symlink_to("..data/a.txt")
        assert host.run_to_its_end(is_shared=True).state == "Complete"
    assert host.lines() == sorted(["be\t2", "configmap\t1", "inline\t1", "not\t1", "or\t1", "to\t5", "url\t1"])


@pytest.mark.parametrize(
    ("change", "code", "reason", "told"),
    [
        ({"code": "def mapper(line):\n    yield line, undefined\nraise ValueError('no')\n"}, 2, "InvalidCode", "no"),
        ({"code": "x = 1\n"}, 2, "InvalidCode", "mapper"),
        ({"mapper": "elsewhere"}, 2, "InvalidCode", "elsewhere"),
        ({"inputs": [{"uri": "pvc://data/gone.txt"}]}, 2, "InvalidInput", "pvc://data/gone.txt"),
        ({"inputs": [{"uri": "pvc://data/in/*.csv"}]}, 2, "InvalidInput", "matches no files"),
        ({"inputs": [{"uri": "/etc/passwd"}]}, 2, "InvalidSpec", "pods can see"),
        ({"inputs": [{"uri": "configmap://gone/x"}]}, 2, "InvalidInput", "ConfigMap is not mounted"),
        ({"output": {"uri": "out"}}, 2, "InvalidSpec", "spec.output.uri"),
        ({"inputs": [{"uri": "pvc://data/in", "inline": "x"}]}, 2, "InvalidSpec", "exactly one"),
    ],
)
def test_what_can_never_work_ends_with_a_reason_for_the_operator(
    make: Make, change: dict[str, Any], code: int, reason: str, told: str
) -> None:
    found = make(**change).refusal()
    assert found[:2] == (code, reason)
    assert told in found[2]
    assert "/mr/" not in found[2]


def test_a_job_that_is_none_is_refused_by_the_init_container_already(make: Make) -> None:
    host = make(reducres=3)
    assert host.prepare() == 2
    assert host.termination().reason == "InvalidSpec"
    assert "reducres" in host.termination().message


def test_a_file_that_leads_out_of_its_volume_is_no_input(make: Make) -> None:
    host = make()
    (host.claim / "in" / "b.txt").symlink_to(host.root / "tokens" / "admin")
    code, reason, message = host.refusal()
    assert (code, reason) == (2, "InvalidInput")
    assert "leads out of its volume" in message


def test_a_foreign_output_is_refused_and_not_touched(make: Make) -> None:
    host = make()
    host.out.mkdir()
    (host.out / "thesis.txt").write_text("mine")
    code, reason, message = host.refusal()
    assert (code, reason) == (2, "OutputExists")
    assert "pvc://data/out" in message
    assert [path.name for path in host.out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("uid", ["another-uid", "0a1b2c3d-uid"])
def test_a_finished_result_is_refused_also_when_it_is_the_jobs_own(make: Make, uid: str) -> None:
    host = make()
    host.run_to_its_end()
    host.close()
    again = _with_new_log(host, make(uid=uid))
    assert again.refusal()[:2] == (2, "OutputExists")
    assert again.lines() == COUNTED


@pytest.mark.parametrize("uid", ["another-uid", "0a1b2c3d-uid"])
def test_a_finished_result_is_replaced_if_that_is_asked_for(make: Make, uid: str) -> None:
    host = make(reducers=3)
    host.run_to_its_end()
    host.close()
    again = _with_new_log(host, make(uid=uid, output={"uri": "pvc://data/out", "overwrite": "Replace"}))
    (again.claim / "in" / "a.txt").write_text("anew\n")
    assert again.run_to_its_end().state == "Complete"
    assert again.lines() == ["anew\t1"]
    assert len(list(again.out.glob("part-*"))) == 1


def test_an_unfinished_output_of_the_same_job_is_taken_up_though_the_log_is_gone(make: Make) -> None:
    host = make()
    assert host.prepare() == 0
    host.start()
    host.until("Mapping")
    host.close()
    (host.out / "_mapreduce" / "attempts" / "1" / "map-00000.e1.a1.out").write_text("of another life")
    again = _with_new_log(host, make())
    assert again.run_to_its_end().state == "Complete"
    assert again.lines() == COUNTED


def test_an_unfinished_output_of_another_job_is_refused(make: Make) -> None:
    host = make()
    assert host.prepare() == 0
    host.start()
    host.until("Mapping")
    host.close()
    assert _with_new_log(host, make(uid="another-uid")).refusal()[:2] == (2, "OutputExists")


def test_an_output_that_a_deleted_job_had_begun_is_free_for_the_next_one(make: Make) -> None:
    host = make()
    assert host.prepare() == 0
    host.start()
    host.until("Mapping")
    host.close()
    assert podcleanup.main(["--output", str(host.out), "--owner", host.uid, "--pods", "mr-words-0a1b2c3d-"]) == 0
    assert list(host.out.iterdir()) == []
    again = _with_new_log(host, make(uid="another-uid"))
    assert again.run_to_its_end().state == "Complete"
    assert again.lines() == COUNTED


def test_a_volume_that_is_not_there_is_no_verdict_about_the_job(make: Make) -> None:
    host = make(output={"uri": "pvc://other/out"})
    (host.root / "claims" / "other").write_text("no folder: the mount has failed")
    assert host.refusal()[:2] == (1, "CoordinatorFailed")


def test_code_may_be_a_module_or_lie_on_a_volume(make: Make) -> None:
    host = make()
    host.spec["code"] = {"volumePath": "pvc://data/code/words.py"}
    (host.claim / "code").mkdir()
    (host.claim / "code" / "words.py").write_text(host.code)
    assert host.run_to_its_end().state == "Complete"
    assert host.lines() == COUNTED


def test_a_code_without_description_is_trouble_of_the_pod(make: Make) -> None:
    host = make()
    host.mount_job()
    assert host.start().wait(60) == 1
    assert "describe" in host.termination().message


def test_metrics_tell_tasks_and_the_log_on_a_port_of_their_own(make: Make) -> None:
    host = make()
    host.run_to_its_end()
    with urllib.request.urlopen(f"http://127.0.0.1:{host.metrics_port}/metrics") as answer:
        text = answer.read().decode()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples['mapreduce_tasks{kind="map",state="committed"}'] == "1"
    assert samples['mapreduce_task_seconds_count{kind="reduce"}'] == "1"
    assert samples["mapreduce_workers"] == "1"
    assert float(samples["mapreduce_wal_fsyncs_total"]) > 0


def test_who_was_seen_to_end_is_known_and_the_coordinator_tells_how_it_is(make: Make) -> None:
    host = make()
    host.run_to_its_end()
    client = host.client()
    try:
        found = client.coordinator()
        assert [worker.name for worker in found.workers] == ["worker-a"]
        assert (found.epoch, found.is_short_of_space, found.replicas_pending) == (1, False, 0)
        client.workers_gone(WorkersGoneRequest(workers=("worker-a", "nobody"), is_charged=False, reason="test"))
        assert client.coordinator().workers == ()
    finally:
        client.close()


def test_the_token_may_come_in_a_header_that_proxies_leave_alone(make: Make) -> None:
    host = make()
    assert host.prepare() == 0
    host.start()
    host.until("Mapping")
    assert _status_of(host, host.token("read")) == 200
    assert _status_of(host, "x" * 40) == 401


def test_each_event_is_one_line_of_json_if_asked_for(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    host = make()
    assert host.prepare() == 0
    host.start("--log-format", "json")
    host.run_worker()
    host.until("Complete")
    host.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    events = [line.get("event") for line in lines]
    assert [events.count(kind) for kind in ("EpochStarted", "JobSubmitted", "JobPlanned", "JobFinished")] == [1] * 4
    assert all(line["level"] == "INFO" for line in lines)


def test_a_failure_names_the_record_by_the_place_that_the_jobs_author_wrote(make: Make) -> None:
    host = make(code="def mapper(line):\n    raise ValueError(line)\n", maxAttempts=1, reducers=0, reducer=None)
    del host.spec["reducer"]
    status = host.run_to_its_end()
    assert status.state == "Failed"
    assert status.failures[0].failure.record.startswith("pvc://data/in/a.txt, ")
    assert "/mr/" not in status.message


def test_a_coordinator_waits_for_the_one_before_it_to_let_go(make: Make) -> None:
    host = make()
    assert host.prepare() == 0
    first = host.start()
    host.until("Mapping")
    host.metrics_port = 0
    second = host.start()
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1)
    first.kill()
    first.wait()
    client = host.client()
    try:
        until(lambda: _epoch(client) == 2, "the second incarnation")
    finally:
        client.close()
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0


def _status_of(host: PodHost, token: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", host.port)
    try:
        connection.request("GET", "/v1/jobs", headers={"X-MapReduce-Token": token})
        return connection.getresponse().status
    finally:
        connection.close()


def _epoch(client: Any) -> int:
    try:
        return int(client.coordinator().epoch)
    except MapReduceError:
        return 0


def _with_new_log(before: PodHost, after: PodHost) -> PodHost:
    """The same volumes, but the claim of the log is a new one."""
    (before.root / "state").rename(before.root / "state-before")
    (after.root / "state").mkdir()
    return after


class _Site(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


class _serving:  # noqa: N801 - a context manager
    """A web server over a folder; gives its URL."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Site, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
