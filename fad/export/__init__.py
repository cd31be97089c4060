"""``export_source``: a Program as a standalone, readable NumPy function that does not import fad."""

from fad.export.sources import export_source

__all__ = ["export_source"]
