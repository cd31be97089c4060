"""The NumPy API on immutable, differentiable arrays."""
