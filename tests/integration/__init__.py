"""Real processes, sockets and files on this machine. A package, so that fixtures can last as long as its tests."""
