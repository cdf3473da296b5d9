"""Strategies for whatever may be a key or a value."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

FLOATS = st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324])
TEXTS = st.text(max_size=6) | st.text(st.characters(categories=["Cs", "Lu"]), max_size=3)
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | FLOATS | TEXTS | st.binary(max_size=6)
)
#: Few of them, so that equal ones meet.
CLOSE_SCALARS: st.SearchStrategy[Any] = st.integers(-2, 2) | st.sampled_from(
    [True, False, 1.0, -0.0, 0.5, math.nan, None, "", "a", "\udcff", b"", b"a", 2**64]
)
KEYS: st.SearchStrategy[Any] = st.recursive(
    CLOSE_SCALARS | SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6
)
CLOSE_KEYS: st.SearchStrategy[Any] = CLOSE_SCALARS | st.tuples(CLOSE_SCALARS) | st.tuples(CLOSE_SCALARS, CLOSE_SCALARS)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
