"""The command line against a cluster. Nothing here is imported before a command is known to need one."""
