"""The `mr` command: the table of its subcommands, and the one place where an error becomes a line and an exit code.

Nothing of a subcommand is imported before it is called: start-up is what a person feels first. What a command does is
in `mapreduce_cli.commands`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from mapreduce.errors import InvalidJobSpec, MapReduceError
from mapreduce.leaving import leave

#: The help page: by title, subcommand: (module below `mapreduce_cli.commands`, its line in `mr --help`).
SECTIONS: Final = {
    "Write a job": {
        "init": ("init", "Begin a new job: job.py, its test, sample data, and a README with the commands."),
        "check": ("check", "Check a job's file, and with a sample its results, before running it."),
        "plan": ("plan", "Say how long a job will take, how large it will be, and what to set; runs a sample only."),
        "manifest": ("manifest", "Print a job as the YAML that kubectl apply takes."),
    },
    "Run it": {
        "run": ("run", "Run a job here, with worker processes of its own, and wait for it."),
        "submit": ("submit", "Hand a job to a cluster or to a running coordinator; prints its name or id."),
        "cancel": ("cancel", "Cancel a job."),
    },
    "Look at it": {
        "ls": ("ls", "List the jobs of a cluster or of a coordinator."),
        "why": ("why", "Say in a sentence what a job waits for, or why it failed, and what to do."),
        "top": ("top", "Show a job on one screen while it runs."),
        "watch": ("watch", "Watch a job until it has ended."),
        "wait": ("wait", "Wait until a job has ended; the exit code says how."),
        "get": ("get", "Print, copy, merge or rank the output of a job."),
        "logs": ("logs", "Show what a job's attempts printed, and why they failed."),
        "counters": ("counters", "Show what a job's functions have counted, so far or in all."),
        "page": ("page", "Print an address that opens the page about a job."),
        "report": ("report", "Write the page about a job as one HTML file; no process need be alive."),
        "trace": ("trace", "Print a job's attempts in Chrome's trace format, for Perfetto."),
        "replay": ("replay", "Run one task again here, on its recorded input, under a debugger."),
        "diff": ("diff", "Compare two finished outputs, part by part."),
    },
    "In a cluster": {
        "suspend": ("suspend", "Suspend a job of a cluster: its pods end, its work stays."),
        "resume": ("resume", "Go on with a suspended job of a cluster."),
        "scale": ("scale", "Give a job of a cluster another number of workers."),
        "rm": ("rm", "Delete jobs of a cluster and all that they own; outputs stay."),
    },
    "Below and around": {
        "coordinator": ("coordinator", "Serve a state folder: jobs can be submitted, workers can join and leave."),
        "worker": ("worker", "Join a coordinator and run tasks until it is told to stop."),
        "wal": ("wal", "Explain or check the write-ahead log of a state or output folder."),
        "doctor": ("doctor", "Check this machine, or a cluster, for what jobs need."),
        "completion": ("completion", "Print what a shell needs to complete commands, options and jobs."),
    },
}
#: All of them, in the order of the help page.
COMMANDS: Final = {name: known for section in SECTIONS.values() for name, known in section.items()}

EXIT_INTERRUPTED: Final = 130

#: What the root context's `obj` is when the command line was called as `kubectl mr`.
PLUGIN: Final = "kubectl plugin"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and whose help page imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one subcommand, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mapreduce_cli.commands.{COMMANDS[cmd_name][0]}")
        command = module.command
        assert isinstance(command, click.Command), cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a misspelt name is answered with the nearest right one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean 'mr {near[0]}'?" if near else "; 'mr --help' lists all"
            raise click.UsageError(f"there is no command '{name}'{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lists of commands, from the table above."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in section.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 3 coordinator or cluster unreachable, "
    "130 interrupted.",
)
@click.version_option(package_name="mapreduce-operator", prog_name="mr")
def cli() -> None:
    """MapReduce for Python people: two functions in a file are a job.

    \b
    mr run wordcount.py 'books/*.txt' -o out/     run it here, on all cores
    mr get out/ --top 10                          see the result
    mr submit wordcount.py pvc://books/ -o pvc://results/wc -n team-a       run it in a cluster
    mr COMMAND --help                             all about one command
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `mr` script. Ends the process with the command's exit code."""
    _run(arguments, is_plugin=False)


def plugin() -> None:
    """Entry point of `kubectl-mr`, which kubectl runs as `kubectl mr`: jobs are those of a cluster."""
    _run(None, is_plugin=True)


def _run(arguments: Sequence[str] | None, *, is_plugin: bool) -> None:
    if os.name != "posix":
        _say("Windows is not supported; use WSL, or a container. Linux and macOS are.")
        sys.exit(2)
    leave(invoke(arguments, is_plugin=is_plugin))


def invoke(arguments: Sequence[str] | None = None, *, is_plugin: bool = False) -> int:
    """Run one command line; returns its exit code. Errors of ours become one line; a bug keeps its traceback."""
    name, means = ("kubectl mr", PLUGIN) if is_plugin else ("mr", None)
    try:
        result = cli.main(arguments, prog_name=name, standalone_mode=False, obj=means)
        sys.stdout.flush()
    except click.UsageError as error:
        _say(_usage_line(error))
        return 2
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except InvalidJobSpec as error:
        _say(_as_typed(error, sys.argv[1:] if arguments is None else arguments))
        return error.exit_code
    except MapReduceError as error:
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has gone (`mr get | head`): no error, and no second complaint at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _usage_line(error: click.UsageError) -> str:
    text = error.format_message().rstrip(".")
    text = text[:1].lower() + text[1:] if not text.startswith(("'", "-")) else text
    path = error.ctx.command_path if error.ctx is not None else "mr"
    return text if "--help" in text or "did you mean" in text else f"{text} (see '{path} --help')"


def _as_typed(error: InvalidJobSpec, words: Sequence[str]) -> str:
    """The error in words of options where one was typed for its field; else it is in a manifest or in code."""
    from mapreduce.diagnosis.wording import OPTIONS, as_options

    option = OPTIONS.get(error.field.removeprefix("spec."), "")
    is_typed = option and any(word == option or word.startswith(f"{option}=") for word in words)
    return as_options(str(error)) if is_typed else str(error)


def _say(text: str) -> None:
    print(f"mr: {text}", file=sys.stderr, flush=True)
