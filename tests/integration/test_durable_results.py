"""What a run in one process leaves after a power cut: a marker that is whole, and never there without its parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.inline import run_inline
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.sequential import run_sequential
from tests.support.jobs import user_job


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What is synced (by inode) and what gets its name by a rename, in order."""
    events: list[tuple[str, Any]] = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        events.append(("synced", os.fstat(descriptor).st_ino))

    def naming(rename: Any) -> Any:
        def named(source: Any, target: Any, **more: Any) -> None:
            rename(source, target, **more)
            events.append(("named", Path(target).name))

        return named

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", naming(os.rename))
    monkeypatch.setattr(os, "replace", naming(os.replace))
    return events


@pytest.mark.parametrize("run", [run_inline, run_sequential], ids=["engine", "oracle"])
def test_success_gets_its_name_when_it_and_all_parts_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    source, out = tmp_path / "in.txt", tmp_path / "out"
    source.write_bytes(b"a b\nb c\nd e f g\n")
    spec = JobSpec(code=Code(inline=""), inputs=(Input(uri=str(source)),), output=Output(uri="o"), reducers=2)
    job = user_job(tmp_path, "def mapper(line):\n    for word in line.split():\n        yield word, 1\n")
    events = recorded(monkeypatch)
    run(spec, job, out)
    assert msgspec.json.decode((out / "_SUCCESS").read_bytes())["format"] == 1
    parts = list(out.glob("part-*"))
    assert len(parts) == 2
    marked = events.index(("named", "_SUCCESS"))
    synced = [events.index(("synced", path.stat().st_ino)) for path in parts]
    renamed = [events.index(("named", path.name)) for path in parts if ("named", path.name) in events]
    folder_synced = [at for at in range(marked) if events[at] == ("synced", out.stat().st_ino)]
    assert max(folder_synced) > max(synced + renamed)
    assert events.index(("synced", (out / "_SUCCESS").stat().st_ino)) < marked
    assert ("synced", out.stat().st_ino) in events[marked:]
