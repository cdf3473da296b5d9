"""Whose output folder it is, decided without a file."""

import msgspec
import pytest

from mapreduce.errors import OutputRefused
from mapreduce.local.changes import kept_settings
from mapreduce.local.ownership import Claim, FolderView, Resume, StartFresh, decide_claim
from mapreduce.model import Code, Input, JobSpec, Output, Storage, Workers
from mapreduce.ownerrecord import InputEntry, OwnerRecord, make_owner_record

INPUTS: list[InputEntry] = [("/books/a.txt", 100, 1), ("/books/b.txt", 200, 2)]

SPEC = JobSpec(
    code=Code(volume_path="/jobs/wc.py"),
    inputs=(Input(uri="/books/*.txt"),),
    output=Output(uri="/out"),
    reducer="reducer",
    reducers=4,
    args={"min": "3"},
)


def record(
    spec: JobSpec = SPEC, *, code: str = "one", inputs: list[InputEntry] | None = None, **more: object
) -> OwnerRecord:
    made = make_owner_record(
        "wc", spec, code={"wc.py": code}, code_digest=f"bundle of {code}", inputs=INPUTS if inputs is None else inputs
    )
    return msgspec.structs.replace(made, **more)


def view(
    owner: OwnerRecord | None, *entries: str, is_complete: bool = False, parts: tuple[str, ...] = ()
) -> FolderView:
    return FolderView(
        path="/out",
        exists=True,
        entries=entries,
        state_entries=("owner.json",) if owner else (),
        owner=owner,
        is_complete=is_complete,
        own_parts=frozenset(parts),
    )


def claim(
    found: FolderView,
    wanted: OwnerRecord | None = None,
    *,
    new_inputs: list[InputEntry] | None = None,
    overwrite: bool = False,
    restart: bool = False,
    may_resume: bool = True,
) -> Claim:
    return decide_claim(
        found,
        record() if wanted is None else wanted,
        new_inputs=INPUTS if new_inputs is None else new_inputs,
        old_inputs=INPUTS,
        is_part={name: name.startswith("part-") for name in found.entries},
        overwrite=overwrite,
        restart=restart,
        may_resume=may_resume,
    )


def test_a_folder_that_does_not_exist_is_taken() -> None:
    assert claim(FolderView(path="/out")) == StartFresh()


def test_an_empty_folder_is_taken() -> None:
    assert claim(view(None)) == StartFresh()


def test_a_file_is_no_output_folder() -> None:
    with pytest.raises(OutputRefused, match="is a file"):
        claim(FolderView(path="/out", exists=True, is_folder=False))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_with_foreign_content_is_refused_whatever_is_asked(overwrite: bool, restart: bool) -> None:
    with pytest.raises(OutputRefused, match="holds no result of ours"):
        claim(view(None, "thesis.tex", "_SUCCESS", is_complete=overwrite), overwrite=True, restart=restart)


def test_a_state_folder_without_owner_record_is_foreign() -> None:
    with pytest.raises(OutputRefused, match="holds no result of ours"):
        claim(FolderView(path="/out", exists=True, state_entries=("log",)))


def test_an_owner_record_that_cannot_be_read_is_never_replaced() -> None:
    with pytest.raises(OutputRefused, match="cannot be read"):
        claim(FolderView(path="/out", exists=True, owner_problem="truncated"), overwrite=True, restart=True)


def test_a_finished_result_is_refused_unless_it_may_be_overwritten() -> None:
    finished = view(record(end="Complete"), "_SUCCESS", "part-00000", is_complete=True, parts=("part-00000",))
    with pytest.raises(OutputRefused, match=r"finished result of job 'wc'. Add --overwrite"):
        claim(finished)
    with pytest.raises(OutputRefused, match="--overwrite"):
        claim(finished, restart=True)
    assert claim(finished, overwrite=True) == StartFresh(delete=("part-00000",))


def test_overwriting_deletes_only_what_we_wrote() -> None:
    finished = view(record(), "_SUCCESS", "notes.txt", "part-00000", is_complete=True, parts=("part-00000",))
    assert claim(finished, overwrite=True) == StartFresh(delete=("part-00000",))


def test_a_foreign_file_with_the_name_of_a_part_is_in_the_way() -> None:
    finished = view(record(), "_SUCCESS", "part-00000", "part-00007", is_complete=True, parts=("part-00000",))
    with pytest.raises(OutputRefused, match="part-00007 was not written by us"):
        claim(finished, overwrite=True)


def test_the_same_job_unfinished_is_resumed() -> None:
    begun = record()
    assert claim(view(begun)) == Resume(begun)


def test_what_cannot_resume_is_refused_an_unfinished_run_of_the_same_job_unless_it_may_begin_anew() -> None:
    with pytest.raises(OutputRefused, match=r"holds an unfinished run, .* or add --restart to begin anew"):
        claim(view(record()), may_resume=False)
    assert claim(view(record()), may_resume=False, restart=True) == StartFresh()


@pytest.mark.parametrize("may_resume", [False, True])
def test_a_killed_run_in_one_process_has_no_work_to_lose(may_resume: bool) -> None:
    found = view(record(code="another", mode="inline"), "_mapreduce")
    assert claim(found, may_resume=may_resume) == StartFresh()


def test_workers_leases_attempts_and_budgets_do_not_make_another_job() -> None:
    other = msgspec.structs.replace(
        SPEC,
        workers=Workers(replicas=7, memory_budget_bytes=1 << 30),
        storage=Storage(shuffle="Peer"),
        max_attempts=9,
        lease_seconds=10,
        task_timeout_seconds=60,
    )
    assert isinstance(claim(view(record()), record(other)), Resume)


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"reducers": 8}, "reducers was 4 and is 8"),
        ({"mapper": "words"}, 'mapper was not given and is "words"'),
        ({"args": {"min": "5"}}, '--arg min was "3" and is "5"'),
        ({"args": {}}, '--arg min was "3" and is not given'),
        ({"split_size_bytes": 1_000}, "splitSizeBytes was not given and is 1000"),
        ({"output": Output(uri="/out", format="jsonl")}, 'output.format was not given and is "jsonl"'),
        ({"inputs": (Input(uri="/other"),)}, r"without input /books/\*.txt and with new input /other"),
        ({"inputs": (Input(uri="/books/*.txt", format="files"),)}, r"the format or encoding of /books/\*.txt changed"),
    ],
)
def test_each_field_that_changes_the_result_is_named(changes: dict[str, object], clause: str) -> None:
    other = record(msgspec.structs.replace(SPEC, **changes))
    with pytest.raises(OutputRefused, match=f"this one is another: {clause}. .*--restart"):
        claim(view(record()), other)


def test_changed_code_is_named_by_file() -> None:
    with pytest.raises(OutputRefused, match=r"the code changed \(wc.py\)"):
        claim(view(record()), record(code="two"))


def test_changed_input_files_are_named() -> None:
    now: list[InputEntry] = [("/books/a.txt", 101, 5), ("/books/c.txt", 1, 1)]
    with pytest.raises(OutputRefused, match=r"changed: /books/a.txt, new: /books/c.txt, gone: /books/b.txt"):
        claim(view(record()), record(inputs=now), new_inputs=now)


def test_restart_drops_an_unfinished_job_and_its_half_published_parts() -> None:
    half = view(record(), "part-00000", parts=("part-00000",))
    assert claim(half, record(code="two"), restart=True) == StartFresh(delete=("part-00000",))


def test_overwrite_alone_resumes_the_same_unfinished_job() -> None:
    assert isinstance(claim(view(record()), overwrite=True), Resume)


@pytest.mark.parametrize("end", ["Failed", "Cancelled"])
def test_after_a_failed_run_any_job_of_that_folder_starts_again(end: str) -> None:
    decided = claim(view(record(end=end)), record(code="two"))
    assert isinstance(decided, StartFresh)
    assert "starting from the beginning" in decided.notice


def test_a_folder_that_a_coordinator_writes_to_is_refused() -> None:
    with pytest.raises(OutputRefused, match="coordinator at /state is writing to it"):
        claim(view(record(state_folder="/state")), restart=True)


def test_settings_that_a_resumed_job_keeps_are_named() -> None:
    asked = msgspec.structs.replace(SPEC, lease_seconds=10, workers=Workers(replicas=9))
    assert kept_settings(SPEC, asked) == ["leaseSeconds stays 30"]
