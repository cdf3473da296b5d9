"""MapReduce for Python people. The public names are the user API; nothing heavy is imported until it is used."""

from mapreduce.api import Context, Job, job
from mapreduce.version import __version__

__all__ = ["Context", "Job", "__version__", "job"]
