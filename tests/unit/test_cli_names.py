"""Jobs as messages name them in commands to type: what is pasted into a shell means the same job again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mapreduce.local.paths import typed_folder
from mapreduce_cli.connect import Address
from mapreduce_cli.jobnames import as_folder


@pytest.mark.parametrize("name", ["out", "my results", "2024", "-x", "it's", "a/b"])
def test_a_folder_is_named_so_that_a_command_takes_it_for_that_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir(parents=True)
    (word,) = shlex.split(typed_folder(name))
    assert not word.startswith("-")
    assert as_folder(word) == Path(name)


def test_the_options_that_lead_to_a_coordinator_are_typed_again() -> None:
    assert Address().options == ""
    assert Address(folder=Path("my state")).options == " --dir 'my state'"
    address = Address(url="http://127.0.0.1:8080", token_file=Path("token"))
    assert address.options == " --coordinator http://127.0.0.1:8080 --token-file token"
