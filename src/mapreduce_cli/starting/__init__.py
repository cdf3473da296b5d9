"""What `mr init` writes: a job that runs as it is, its test, and the commands."""
