"""Benchmarks: a harness that measures this project and its peers in the same run and prints JSON.

Nothing here is shipped or imported by the product. Times are never asserted;
`docs/performance.md` says what was measured.
"""
