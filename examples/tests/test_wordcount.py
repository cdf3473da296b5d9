"""How a job of your own is tested: copy this file beside yours. Run it with `pytest examples/tests`.

The fixtures come with the package, see docs/testing.md.
"""

from pathlib import Path

from mapreduce.testing import assert_output, assert_same_output

WORDCOUNT = Path(__file__).parents[1] / "wordcount.py"


def test_words_are_counted(mr_run):
    assert_output(mr_run(WORDCOUNT, ["a rose is", "a rose"]), {"a": 2, "is": 1, "rose": 2})


def test_short_words_can_be_left_out(mr_run):
    outcome = mr_run(WORDCOUNT, ["a rose is a rose"], mapper="long_words", args={"min_length": 3})
    assert_output(outcome, {"rose": 2})


def test_the_combiner_and_the_cuts_between_splits_change_nothing(mr_run):
    lines = [f"word {number % 7} of many" for number in range(200)]
    assert_same_output(mr_run(WORDCOUNT, lines), mr_run(WORDCOUNT, lines, engine="inline", splits=5, reducers=3))


def test_nothing_is_lost_or_counted_twice_whatever_is_killed(mr_kill_anything):
    lines = [f"word {number % 50} of many" for number in range(2_000)]
    report = mr_kill_anything(WORDCOUNT, lines, kills=3)
    assert report.kills
