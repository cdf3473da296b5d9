"""The worked dialogue of docs/protocol.md, run as it is written."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.edge import serving
from tests.support.running import runs

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
COMMANDS = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the dialogue is one of curl")
@runs
async def test_the_dialogue_of_a_worker_with_curl_works_as_written(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        variables = {**os.environ, "URL": served.url, "WORKER_TOKEN": served.tokens.worker, "no_proxy": "*"}
        shell = await asyncio.create_subprocess_exec(
            "bash", "-e", "-o", "pipefail", "-c", COMMANDS, cwd=tmp_path, env=variables, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await shell.communicate()
        assert shell.returncode == 0, output
        names = [name for name, _ in served.service.calls]
        assert names == ["register", "next", "heartbeat", "next", "next"]
        assert output.count(b'"accepted":true') == 2
