"""What kopf calls. It only translates: a job that has changed is put into the queue, and nothing else happens here.

Only low-level event handlers are used, on purpose: kopf then writes nothing into objects (no last-handled annotation,
which overflows; no progress, no finalizer, no results in the status), and never waits for its own patches.
Start with `python -m mapreduce_operator`, or `kopf run -m mapreduce_operator.handlers --all-namespaces`.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import kopf

from mapreduce.errors import UsageError
from mapreduce_operator import logs
from mapreduce_operator.api import configuration, is_in_cluster
from mapreduce_operator.kopfsettings import NoDiffBase, expiration, login_info
from mapreduce_operator.naming import GROUP, PLURAL, VERSION
from mapreduce_operator.operating import Operator
from mapreduce_operator.queueing import Key
from mapreduce_operator.settings import Settings


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Set kopf up and wait until this operator may act; only then does kopf begin to watch."""
    try:
        ours = Settings.from_environment(os.environ)
    except UsageError as error:
        raise kopf.PermanentError(str(error)) from None
    logs.set_up(ours)
    settings.watching.server_timeout = max(1, round(ours.watch_s))  # the API takes whole seconds only
    settings.watching.client_timeout = ours.watch_s * 1.25
    settings.watching.connect_timeout = 10.0
    # When kopf's own look-out for silence expires just as an event comes, it raises and the whole operator ends. The
    # timeout of the whole request finds silence as well.
    settings.watching.inactivity_timeout = ours.watch_s * 10
    settings.watching.chunk_size = 100
    settings.networking.request_timeout = ours.request_s
    settings.networking.connect_timeout = min(10.0, ours.request_s)
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.queueing.worker_limit = 32
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = 20.0
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.finalizer = f"{GROUP}/kopf"
    memo.operator = Operator(ours, end=lambda: signal.raise_signal(signal.SIGTERM))
    await memo.operator.start()
    if ours.namespaces and (watched := memo.get("namespaces")) is not None:
        watched[:] = memo.operator.namespaces  # kopf begins after this, and would end where it may not look


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End everything."""
    if (operator := getattr(memo, "operator", None)) is not None:
        await operator.stop()


@kopf.on.login()
async def login(**_: Any) -> kopf.ConnectionInfo:
    """Reach the API server as our own client does: by the pod's service account, or by the kubeconfig."""
    return await login_info(await configuration(), expiration() if is_in_cluster() else None)


@kopf.on.event(GROUP, VERSION, PLURAL)
async def notice(type: str | None, meta: kopf.Meta, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    """A job was made, changed or deleted, or there was one when the watch began."""
    key = Key(str(meta["namespace"]), str(meta["name"]))
    now = (meta.get("uid"), meta.get("generation"), meta.get("deletionTimestamp"), tuple(meta.get("finalizers", ())))
    if type == "MODIFIED" and memo.get("seen_job") == now:
        return  # our own report came back
    memo.seen_job = now
    memo.operator.notice(key)
