"""Entries of the corpus that fad refuses in some mode, each with the modes and the reason.

A listed entry must raise one of fad's own errors there; when it starts to work, its line has to go. A wrong number can
never be listed.
"""

STAGED = frozenset({"vmap", "jit", "vmap_grad", "jit_grad"})

KNOWN_FAILURES: dict[str, tuple[frozenset[str], str]] = {
    "indexing.searchsorted_of_value": (
        STAGED,
        "it indexes a NumPy array of constants with a traced integer, which NumPy asks nobody about; np.take(table, i) works",
    ),
    "signal.emath_sqrt": (STAGED, "the dtype of np.emath.sqrt(x) depends on the signs of the values"),
}
