"""From Programs to native code."""
