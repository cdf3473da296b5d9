"""Settings are named to people as they typed them."""

import re

import pytest

from mapreduce.diagnosis.wording import MANIFEST_ONLY, OPTIONS, as_options, as_uris
from mapreduce.model import JobSpec
from mapreduce_cli.commands.submit import command as submit
from tools.draw_defaults import described_fields


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("as often as maxAttempts allows", "as often as --max-attempts allows"),
        ("taskTimeoutSeconds sets the limit.", "--task-timeout sets the limit."),
        ("Raise spec.taskTimeoutSeconds or lower spec.splitSizeBytes.", "Raise --task-timeout or lower --split-size."),
        ("workers.memoryLimitBytes sets it.", "workers.memoryLimitBytes (in a manifest) sets it."),
        ("Raise spec.reducers.", "Raise --reducers."),
        ("more reducers read inputs", "more reducers read inputs"),
        ("self.maxAttempts = read(maxAttemptsOf)", "self.maxAttempts = read(maxAttemptsOf)"),
        ("", ""),
    ],
)
def test_fields_become_options_and_words_stay(said: str, read: str) -> None:
    assert as_options(said) == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("/mr/claims/books/a.txt, byte 17", "pvc://books/a.txt, byte 17"),
        ("/mr/configmaps/words/list.txt", "configmap://words/list.txt"),
        ("/mr/claims/ and /mr/job stay", "/mr/claims/ and /mr/job stay"),
    ],
)
def test_paths_of_pods_become_places_of_the_cluster(said: str, read: str) -> None:
    assert as_uris(said) == read


def test_every_field_that_is_reworded_exists() -> None:
    fields = {path for path, _, _ in described_fields(JobSpec)}
    assert {*OPTIONS, *MANIFEST_ONLY} - fields == set()


def test_every_option_that_is_named_exists() -> None:
    spellings = {spelling for parameter in submit.params for spelling in parameter.opts} | {"INPUT"}
    assert set(OPTIONS.values()) - spellings == set()


def test_the_engines_own_messages_name_no_field_that_is_not_reworded() -> None:
    """Every camelCase word in a message of scheduling and worker is a field that `as_options` knows."""
    from tests.support.tree import ROOT

    known = {name.rpartition(".")[2] for name in (*OPTIONS, *MANIFEST_ONLY)} | {"podTemplate"}
    fields = {path.rpartition(".")[2] for path, _, _ in described_fields(JobSpec) if re.search("[A-Z]", path)}
    sources = [*ROOT.glob("src/mapreduce/scheduling/*.py"), *ROOT.glob("worker/mapreduce_worker/agent/*.py")]
    named = {word for path in sources for word in re.findall(r"\b[a-z]+[A-Z]\w+", path.read_text())} & fields
    assert named - known == set()
