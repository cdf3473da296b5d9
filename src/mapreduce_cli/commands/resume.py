"""`mr resume`: the other half of `suspend`."""

from mapreduce_cli.commands.suspend import resume_command as command

__all__ = ["command"]
