"""What a job waits for, or why it failed, in one sentence with its remedy: for `mr why`, page and report. Pure."""
