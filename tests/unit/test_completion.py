"""Shell completion: of `mr` by click, of `kubectl mr` by the program that kubectl asks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mapreduce_cli import completing
from tests.support.clustercommands import COMPLETE, Person, person

__all__ = ["person"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(person: Person, shell: str) -> None:
    ran = person.mr("completion", shell)
    assert ran.code == 0
    assert f"_MR_COMPLETE={shell}_complete" in ran.out


def test_kubectl_gets_commands_options_and_jobs(person: Person) -> None:
    person.cluster.job("wordcount", status=COMPLETE)
    person.cluster.job("other")
    assert completing.candidates(["su"]) == (["submit", "suspend"], False)
    assert completing.candidates(["ls", "--all"]) == (["--all-namespaces"], False)
    assert completing.candidates(["wait", "wo"]) == (["wordcount"], False)
    assert completing.candidates(["wait", ""]) == (["other", "wordcount"], False)


@pytest.mark.parametrize("command", ["page", "top", "report", "trace", "replay", "why", "get", "logs", "watch"])
def test_every_command_about_a_job_completes_its_name(person: Person, command: str) -> None:
    person.cluster.job("wordcount", status=COMPLETE)
    assert completing.candidates([command, "wo"])[0] == ["wordcount"]


def test_jobs_of_the_namespace_that_was_typed_are_offered(person: Person) -> None:
    person.cluster.job("here", "team-b")
    person.cluster.job("elsewhere", "team-a")
    assert completing.candidates(["wait", "-n", "team-b", ""]) == (["here"], False)


def test_a_file_may_stand_where_the_job_is_a_file(person: Person) -> None:
    assert completing.candidates(["submit", ""])[1] is True


def test_a_cluster_that_does_not_answer_offers_nothing(person: Person) -> None:
    person.cluster.refusals["GET", "/apis/mapreduce.dev/v1alpha1/namespaces/team-a/mapreducejobs"] = (503, "x")
    assert completing.candidates(["wait", ""]) == ([], False)


def test_kubectls_program_ends_with_a_directive(
    person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-mr", "susp"])
    completing.kubectl_complete()
    assert capsys.readouterr().out == "suspend\n:4\n"


def test_kubectls_program_never_shows_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(completing, "candidates", broken)
    completing.kubectl_complete()
    assert capsys.readouterr().out == ":0\n"


def test_asking_for_the_version_imports_no_client_of_kubernetes() -> None:
    code = (
        "import sys; from mapreduce_cli.main import invoke; invoke(['--version']); "
        "sys.exit(' '.join({'kubernetes', 'aiohttp', 'msgspec', 'rich', 'yaml'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["run", "submit", "ls", "get", "why", "wait", "manifest", "doctor"])
def test_the_help_of_a_command_imports_no_client_of_kubernetes(command: str) -> None:
    code = (
        f"import sys; from mapreduce_cli.main import invoke; invoke(['{command}', '--help']); "
        "sys.exit(1 if 'kubernetes' in sys.modules or 'kopf' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
