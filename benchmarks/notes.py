"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

NOTES: dict[str, str] = {
    "memory-bound chain 8e6": (
        "The limit copies into memory that is already mapped; a result returned to the user is new memory, and the "
        "system's page faults alone make a copy of this size several times slower (JAX and torch.compile take 6x "
        "the limit too)."
    ),
}
