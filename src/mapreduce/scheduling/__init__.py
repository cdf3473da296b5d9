"""The scheduling core: pure. Events in, records and replies out; one table for jobs, one for tasks.

Belongs here: what may happen to a job, a task, an attempt, a lease. Does not: clocks, files, sockets, logging.
`records` what the log holds, `transitions` the tables, `state` + `evolve` what the records mean, `sessions` what is
known of workers and is not in the log, `machine` the decisions (`decide_*`), `policy` the numbers behind them, `views`
the state as people see it, `snapshot` the state as bytes, `invariants` what must always hold.
"""
