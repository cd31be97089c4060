"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

NOTES: dict[str, str] = {
    "memory-bound chain 8e6": (
        "The limit copies into memory that is already mapped; a result handed to the user is new memory. On one thread "
        "a copy into new memory took 6.4 ms against 3.7 ms, with huge pages as NumPy asks for them; JAX and "
        "torch.compile take 6x the limit."
    ),
    "tanh/exp chain 2e6": (
        "On one thread 6.7 ns an element against JAX's 7.0. What remains is accuracy: JAX's tanh is one rational function, "
        "fad's stays within 2 ULP and costs 2.4 ns where JAX's costs 1.9."
    ),
    "tanh/exp chain 2e6, gradient": "The same tanh as in the chain alone.",
    "convolutional step 28x28": (
        "Three times as fast as JAX, but PyTorch took 9.4 ms where fad took 11.4. The parts have not been profiled."
    ),
    "transformer block step": (
        "Faster than JAX, but PyTorch took 20.3 ms where fad took 25. Its attention is one fused pass; fad writes the scores "
        "and their softmax to memory, and computes the gradient of the maximum, which cancels. Not profiled yet."
    ),
    "GradBench ode, n = 1000, s = 100": (
        "A turn of both loops takes sixteen passes over 1000 numbers, because each concatenation and each padding that its "
        "transpose makes ends a loop; padded reads are masked, and four rows a turn are stored that could be computed again."
    ),
}
