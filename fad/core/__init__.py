"""The house's foundation: values, types, traces, primitives and programs. Nothing here knows any particular operation."""
