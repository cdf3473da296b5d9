"""The part of the table of calls by which files travel to and from workers that share no volume; `table` holds all."""

from __future__ import annotations

from typing import Final

from mapreduce.coordinator import calls
from mapreduce.coordinator.auth import CallerKind
from mapreduce.coordinator.parameters import OfAttempt, OfSplitFile, UploadParameters
from mapreduce.coordinator.routes import AnyRoute, NoBody, Route
from mapreduce.protocol import wire
from mapreduce.protocol.messages import UploadReply

_SESSION: Final[frozenset[CallerKind]] = frozenset({"session"})
_TASK_DATA: Final[frozenset[CallerKind]] = frozenset({"session", "admin"})


def _last_piece_s(_parameters: object, _body: object) -> float:
    """With the last piece a file is read back, checked and synced; a large one on a slow disk takes its time."""
    return 90.0


TRANSFER_ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="PUT",
        path="/v1/jobs/{job}/runs/{stem}",
        summary="Keeps a piece of a replica of a run.",
        callers=_SESSION,
        parameters=UploadParameters,
        body=bytes,
        body_limit_bytes=wire.UPLOAD_LIMIT_BYTES,
        reply=UploadReply,
        refusals=("conflict", "not-ready"),
        carry_out=calls.put_run,
        wait_s=_last_piece_s,
        runs_to_end=True,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/runs/{stem}",
        summary="A replica of a run, whole or a range of its bytes.",
        callers=_TASK_DATA,
        parameters=OfAttempt,
        body=NoBody,
        reply="application/octet-stream",
        refusals=("range-not-satisfiable",),
        carry_out=calls.replica,
    ),
    Route(
        method="PUT",
        path="/v1/jobs/{job}/outputs/{stem}",
        summary="Keeps a piece of an attempt's output.",
        callers=_SESSION,
        parameters=UploadParameters,
        body=bytes,
        body_limit_bytes=wire.UPLOAD_LIMIT_BYTES,
        reply=UploadReply,
        refusals=("conflict", "not-ready"),
        carry_out=calls.put_output,
        wait_s=_last_piece_s,
        runs_to_end=True,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/maps/{index}/files/{number}",
        summary="A file of a map's split, whole or a range of its bytes.",
        callers=_TASK_DATA,
        parameters=OfSplitFile,
        body=NoBody,
        reply="application/octet-stream",
        refusals=("conflict", "range-not-satisfiable"),
        carry_out=calls.split_file,
    ),
)
