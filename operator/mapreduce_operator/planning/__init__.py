"""What to do about a job: one module for each policy, pure functions of what was seen. Nothing here does anything."""
