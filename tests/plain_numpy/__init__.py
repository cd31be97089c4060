"""Functions written with NumPy alone, and the tests that differentiate them."""
