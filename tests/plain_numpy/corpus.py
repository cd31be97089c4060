"""All entries of the corpus."""

from tests.plain_numpy import (
    corpus_indexing,
    corpus_linalg,
    corpus_methods,
    corpus_models,
    corpus_reductions,
    corpus_refused,
    corpus_science,
    corpus_signal,
    corpus_structure,
    corpus_ufuncs,
)
from tests.plain_numpy.collection import Entry

COMPOSITES: list[Entry] = corpus_models.case.entries + corpus_science.case.entries
ENTRIES: list[Entry] = [
    *corpus_ufuncs.case.entries,
    *corpus_methods.case.entries,
    *corpus_indexing.case.entries,
    *corpus_structure.case.entries,
    *corpus_reductions.case.entries,
    *corpus_linalg.case.entries,
    *corpus_signal.case.entries,
    *COMPOSITES,
]
REFUSED: list[Entry] = corpus_refused.case.entries
