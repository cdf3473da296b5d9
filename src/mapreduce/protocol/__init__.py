"""What travels between coordinator, workers and clients: messages, their encoding, sessions, and a small client."""
