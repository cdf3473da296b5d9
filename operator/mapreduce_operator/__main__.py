"""`python -m mapreduce_operator`: runs the operator with the settings of its environment until it is told to end."""

from __future__ import annotations

import os
import sys

import kopf

from mapreduce.errors import UsageError
from mapreduce_operator import handlers, logs
from mapreduce_operator.settings import Settings


def main() -> int:
    """Run; gives the exit code."""
    try:
        settings = Settings.from_environment(os.environ)
    except UsageError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet
        return error.exit_code
    logs.set_up(settings)
    assert handlers.notice is not None, "importing the handlers registers them"
    namespaces = list(settings.namespaces)  # those that can be looked at are left in it, before kopf begins to watch
    kopf.run(
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
        memo=kopf.Memo(namespaces=namespaces),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
