"""Medians, quantiles, covariances and other statistics."""

__all__: list[str] = []
