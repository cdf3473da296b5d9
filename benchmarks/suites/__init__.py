"""One module for each suite: a function from a `Bench` to a JSON-ready dict."""
