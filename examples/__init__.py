"""Programs that use fad for real work; run one with ``python -m examples.NAME``."""
