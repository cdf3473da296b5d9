"""What the operator makes: one module for each child, each a pure function from a job to a plain dict."""
