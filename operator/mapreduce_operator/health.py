"""Whether the operator is alive: its watches hear something, its passes come on. Served over HTTP for the kubelet."""

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


class Health:
    """What is asked for by the probe; fed by whoever runs watches and passes."""

    def __init__(self) -> None:
        self.watches_s: Callable[[], list[float]] = list
        """Times of the last signs of life, one for each watch."""
        self.overdue_s: Callable[[], float] = lambda: 0.0
        """How late the next pass is."""

    def problem(self) -> str:
        """Why the process should be started anew; empty while it is well."""
        now = time.monotonic()
        silence = max((now - at_s for at_s in self.watches_s()), default=0.0)
        metrics.SILENCE_SECONDS.set(silence)
        if silence > _SILENT_S:
            return f"a watch has heard nothing for {silence:.0f} s"
        if (late := self.overdue_s()) > _OVERDUE_S:
            return f"the next pass is {late:.0f} s late"
        return ""


async def serve(health: Health, *, health_port: int, metrics_port: int) -> list[web.AppRunner]:
    """Answer on the ports that are not 0; the runners are to be cleaned up in the end."""

    async def healthz(_request: web.Request) -> web.Response:
        problem = health.problem()
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    async def measures(_request: web.Request) -> web.Response:
        health.problem()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    routes: dict[int, list[web.RouteDef]] = {}
    if health_port:
        routes.setdefault(health_port, []).append(web.get("/healthz", healthz))
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
