"""The `mr` command line. Everything it does is in the engine; here are options, tables, bars and exit codes."""
