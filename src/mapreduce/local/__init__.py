"""Local mode: a job run by one command on one machine, in its output folder, with worker processes as children."""
