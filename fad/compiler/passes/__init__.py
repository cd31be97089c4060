"""Passes: pure functions from Programs to Programs that mean the same."""
