"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

NOTES: dict[str, str] = {
    "memory-bound chain 8e6": (
        "The limit copies into memory that is already mapped; a result handed to the user is new memory. On one thread "
        "a copy into new memory took 6.4 ms against 3.7 ms, with huge pages as NumPy asks for them; JAX and "
        "torch.compile take 6x the limit."
    ),
}
