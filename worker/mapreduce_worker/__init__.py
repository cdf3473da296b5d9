"""The worker: an agent that holds the token and the network, and executors that run user code."""
