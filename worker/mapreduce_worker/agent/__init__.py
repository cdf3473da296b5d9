"""The half of a worker that knows the coordinator: calls, leases, logs, runs, and its executors as processes."""
