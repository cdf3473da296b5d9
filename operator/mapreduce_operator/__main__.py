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
    kopf.run(
        clusterwide=not settings.namespaces,
        namespaces=list(settings.namespaces),
        standalone=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
