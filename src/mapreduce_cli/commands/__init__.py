"""One module a subcommand, each with a click command named `command`; imported by `mapreduce_cli.main` when called."""
