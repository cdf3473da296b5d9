"""The half of a worker that runs user code: local files and a socket to its agent, no network and no token."""
