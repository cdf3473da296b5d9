"""`python -m mapreduce.coordinator.pod`: the coordinator of one job in a pod of its own. Knows no Kubernetes.

The first start submits the job, later ones find it in the log. Serves until SIGTERM, also after the job's end, so that
output, logs and page can be read. What can never work ends it with exit code 2 and a termination message that names
the reason; anything else ends it with 1, and the next incarnation goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from mapreduce.coordinator import podlog
from mapreduce.coordinator.auth import read_mounted_tokens
from mapreduce.coordinator.host import HostSettings, serving, wait_for_end
from mapreduce.coordinator.metrics import CONTENT_TYPE, Metrics
from mapreduce.coordinator.podstart import PodFolders, ensure_job, read_spec
from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.replies import SERVER
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.coordinator.statefiles import LOCK_FILE, FolderLock
from mapreduce.errors import MapReduceError, StorageFailed, UsageError
from mapreduce.podjob import NEVER, leave_message, reason_of
from mapreduce.tracesending import TraceTarget
from mapreduce.volumes import POD_ROOT, shown
from mapreduce.wal.files import make_folder

#: How long the incarnation before may take to let go of the state folder.
LOCK_PATIENCE_S: Final = 60.0
_LOCK_PAUSE_S: Final = 0.2

_log = logging.getLogger("mapreduce.coordinator")


def main(arguments: Sequence[str]) -> int:
    """The container's process; its exit code."""
    asked = _parser().parse_args(arguments)
    os.umask(0o007)  # agents share the volumes by their group
    podlog.set_up(asked.log_format)
    try:
        return asyncio.run(_serve(asked))
    except (MapReduceError, OSError) as error:
        reason = reason_of(error) if isinstance(error, MapReduceError) else ""
        message = shown(str(error), asked.root)
        _log.error("The coordinator ends (%s): %s", reason or type(error).__name__, message)
        leave_message(asked.termination_log, reason or "CoordinatorFailed", message)
        return NEVER if reason else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mapreduce.coordinator.pod", description="The coordinator of one job, in a pod of its own."
    )
    parser.add_argument("--state", type=Path, required=True, help="state folder, on the claim of the log")
    parser.add_argument("--job", type=Path, required=True, help="folder with job.json")
    parser.add_argument("--prepared", type=Path, required=True, help="what `podprepare` has left")
    parser.add_argument("--tokens", type=Path, required=True, help="folder with the files admin, worker and read")
    parser.add_argument("--runs", type=Path, help="folder of runs that workers share; without it they share nothing")
    parser.add_argument("--secrets", type=Path, help="folder of headers for inputs behind URLs  [ROOT/secrets]")
    parser.add_argument("--root", default=POD_ROOT, help="folder below which volumes are mounted")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 - a pod's own
    parser.add_argument("--port", type=int, default=8080, help="port to listen on")
    parser.add_argument("--metrics-port", type=int, default=8082, help="port of the metrics; 0: none")
    parser.add_argument("--log-format", choices=["text", "json"], default="text")
    parser.add_argument("--termination-log", type=Path, default=Path("/dev/termination-log"))
    return parser


async def _serve(asked: argparse.Namespace) -> int:
    folders = PodFolders(
        state=asked.state,
        job=asked.job,
        prepared=asked.prepared,
        runs=asked.runs,
        secrets=asked.secrets or Path(asked.root) / "secrets",
        root=asked.root,
    )
    job = read_spec(folders)
    settings = HostSettings(
        folder=folders.state,
        address=asked.host,
        port=asked.port,
        tokens=read_mounted_tokens(asked.tokens),
        service=ServiceSettings(
            exit_when_idle=True,
            runs_folder=folders.runs,
            serves_data=folders.runs is None,
            secrets=folders.secrets,
            input_roots=folders.input_roots,
            command_name=f"{job.name} -n {job.namespace}",
            owner=job.uid,
            shown_root=folders.root,
        ),
        traces=TraceTarget.from_environment(os.environ),
    )
    with _stop_on_signals() as stop:
        lock = await _locked(folders.state, stop)
        if lock is None:
            return 0

        async def begin(service: Service) -> None:
            await _submitted(service, ensure_job(service, job, folders), stop)

        # who finds the coordinator finds its job: it listens once that is in the log
        async with serving(settings, lock=lock, before_listening=begin) as host:
            _log.info(
                "Epoch %d of job '%s' serves %s at port %d.", host.service.epoch, job.name, asked.state, asked.port
            )
            _tell_of_resumption(host.service)
            for notice in host.service.notices:
                _log.warning("%s: %s", notice.reason, notice.message)
            metrics = Metrics()
            async with _following(host.service, metrics), _measured(host.service, metrics, asked):
                await wait_for_end(host.service, stop)
            _log.info("SIGTERM: the coordinator ends; the next incarnation goes on.")
    return 0


def _tell_of_resumption(service: Service) -> None:
    for number in service.taken_up:
        job, (maps, reduces) = service.machine.state.jobs[number], service.resumed[number]
        _log.info(
            "Job %d goes on: %d of %d maps and %d of %d reduces are committed already.",
            *(number, maps, job.maps.count, reduces, job.reduces.count),
        )


async def _submitted(service: Service, work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """See the first start through, unless a signal comes or the log fails first."""
    starting = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, stopping, service.failed), return_when=asyncio.FIRST_COMPLETED)
        if service.failed.done():
            service.failed.result()
        if starting.done():
            starting.result()
    except Refused as refused:
        raise StorageFailed(refused.message) from refused
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set while the block runs."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _locked(folder: Path, stop: asyncio.Event) -> FolderLock | None:
    """The folder's lock, waited for: the container before this one may be ending still. None after a signal."""
    await asyncio.to_thread(make_folder, folder)
    end_s = asyncio.get_running_loop().time() + LOCK_PATIENCE_S
    while not stop.is_set():
        lock = await asyncio.to_thread(FolderLock.try_acquire, folder / LOCK_FILE)
        if lock is not None:
            return lock
        if asyncio.get_running_loop().time() > end_s:
            raise UsageError(f"state folder {folder}: another process has held it for {LOCK_PATIENCE_S:.0f} s.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOCK_PAUSE_S)
    return None


@contextlib.asynccontextmanager
async def _following(service: Service, metrics: Metrics) -> AsyncIterator[None]:
    """Log and count what happens while the block runs."""

    async def follow() -> None:
        with contextlib.suppress(MapReduceError, Refused):  # whoever hosts the service hears of it otherwise
            async for _, record in service.feed.watch(0, service):
                metrics.count(record)
                if text := podlog.describe(record):
                    _log.log(podlog.level_of(record), text, extra={"event": type(record).__name__})

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _measured(service: Service, metrics: Metrics, asked: argparse.Namespace) -> AsyncIterator[None]:
    """Serve the metrics, if asked for. A port that cannot be had is no reason to end a job."""
    if not asked.metrics_port:
        yield
        return

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/metrics":
            return web.Response(status=404, text="Metrics are at /metrics.\n", headers=SERVER)
        body = metrics.text(service, service.transfers.replicas_pending()).encode()
        return web.Response(body=body, headers={**SERVER, "Content-Type": CONTENT_TYPE})

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, asked.host, asked.metrics_port).start()
        except OSError as error:
            _log.warning("No metrics: port %d cannot be had (%s).", asked.metrics_port, error.strerror)
        yield
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
