"""Small programs for contributors: each writes a page of `docs/` from the code, and a test compares the two."""
