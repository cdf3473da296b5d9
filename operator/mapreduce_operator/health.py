"""Whether the operator is alive and acts: its watches hear something, its passes come on. Served for the kubelet.

`/healthz` fails where a new process is the cure, `/readyz` as long as nobody is looked after for another reason too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mapreduce_operator import metrics

#: A watch hears a bookmark each minute; after this it is stuck, and a new process is the cure.
_SILENT_S: Final = 300.0
_OVERDUE_S: Final = 300.0
#: A start may stand still for so long. It does not while the API server answers that something is missing.
_START_S: Final = 300.0


class Health:
    """What is asked for by the probe; fed by whoever runs watches and passes."""

    def __init__(self) -> None:
        self.watches_s: Callable[[], list[float]] = list
        """Times of the last signs of life, one for each watch."""
        self.overdue_s: Callable[[], float] = lambda: 0.0
        """How late the next pass is."""
        self.is_standby: Callable[[], bool] = lambda: False
        """Whether another operator holds the Lease, for which this one waits."""
        self.is_acting = False
        """Whether the start is over: all that can be watched is listed, and jobs are looked after."""
        self._came_on_s = time.monotonic()

    def came_on(self) -> None:
        """The start has made a step, or was answered why it cannot."""
        self._came_on_s = time.monotonic()

    def problem(self) -> str:
        """Why the process should be started anew; empty while it is well."""
        now = time.monotonic()
        if not self.is_acting and not self.is_standby() and now - self._came_on_s > _START_S:
            return f"the start has stood still for {now - self._came_on_s:.0f} s"
        silence = max((now - at_s for at_s in self.watches_s()), default=0.0)
        metrics.SILENCE_SECONDS.set(silence)
        if silence > _SILENT_S:
            return f"a watch has heard nothing for {silence:.0f} s"
        if (late := self.overdue_s()) > _OVERDUE_S:
            return f"the next pass is {late:.0f} s late"
        return ""

    def unready(self) -> str:
        """Why no job is looked after, by this operator or by the one that it waits for; empty when they are."""
        if problem := self.problem():
            return problem
        return "" if self.is_acting or self.is_standby() else "the operator is starting: see its log"


async def serve(health: Health, *, health_port: int, metrics_port: int) -> list[web.AppRunner]:
    """Answer on the ports that are not 0; the runners are to be cleaned up in the end."""

    async def healthz(_request: web.Request) -> web.Response:
        problem = health.problem()
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    async def readyz(_request: web.Request) -> web.Response:
        problem = health.unready()
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    async def measures(_request: web.Request) -> web.Response:
        health.problem()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    routes: dict[int, list[web.RouteDef]] = {}
    if health_port:
        routes.setdefault(health_port, []).extend([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    if metrics_port:
        routes.setdefault(metrics_port, []).append(web.get("/metrics", measures))
    runners = []
    for port, routed in routes.items():
        app = web.Application(client_max_size=1024)
        app.add_routes(routed)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=port).start()
        runners.append(runner)
    return runners
