"""`mr completion`: shell completion of commands, options and job names."""

from __future__ import annotations

import click


@click.command(
    name="completion",
    epilog="""\b
Examples:
  mr completion bash >> ~/.bashrc
  mr completion zsh >> ~/.zshrc
  mr completion fish > ~/.config/fish/completions/mr.fish
\b
`kubectl mr` is completed by kubectl itself, which finds kubectl_complete-mr on the path beside kubectl-mr.""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print what a shell needs to complete commands, options and jobs.

    The shell then asks `mr` itself, so nothing has to be printed anew after an upgrade.
    """
    from click.shell_completion import get_completion_class

    from mapreduce_cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that the argument offers"
    # click itself would ask for the shell's version; the text can be printed where that shell is not installed.
    completion = kind(cli, {}, "mr", "_MR_COMPLETE")
    click.echo(completion.source_template % completion.source_vars())
    return 0
