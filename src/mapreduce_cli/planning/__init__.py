"""What `mr plan` does: measure a job on two samples of its input, and say from that what the whole run will be like."""
