"""What `mr check` looks for in a job's code: types, determinism, laws of combiners, odd ways of using the engine."""
