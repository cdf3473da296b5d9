"""For the tests of users' own jobs: run one on records in memory, compare, and see that it survives being killed.

`run_job` runs it, `assert_output` and `assert_same_output` compare with readable differences, `kill_anything` runs it
with workers and coordinator being killed and compares with the sequential reference. The pytest plugin
(`mapreduce.pytest_plugin`, loaded by itself) offers the fixtures `mr_run` and `mr_kill_anything`. See docs/testing.md.
"""

from mapreduce.testing.asserting import assert_counters, assert_output, assert_same_output
from mapreduce.testing.jobs import Engine, JobLike
from mapreduce.testing.killing import KillReport, kill_anything
from mapreduce.testing.outcomes import Outcome
from mapreduce.testing.running import run_job

__all__ = [
    "Engine",
    "JobLike",
    "KillReport",
    "Outcome",
    "assert_counters",
    "assert_output",
    "assert_same_output",
    "kill_anything",
    "run_job",
]
