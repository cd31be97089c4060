"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

_PARTS = (
    "First call: LLVM works on {0} for {1} ms of processor time, on as many threads as there are cores, of {2} ms in all. The "
    "LLVM in llvmlite's wheels has its assertions on: a kernel of forty instructions takes it 12 ms. Python's lowering is most of "
    "the rest."
)

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
        " " + _PARTS.format("38 pieces", 980, 1354)
    ),
    "transformer block step": (
        "Faster than JAX, but PyTorch took 20.3 ms where fad took 25. Its attention is one fused pass; fad writes the scores "
        "and their softmax to memory, and computes the gradient of the maximum, which cancels. Not profiled yet."
        " " + _PARTS.format("24 pieces", 653, 956)
    ),
    "GradBench ode, n = 1000, s = 100": (
        "A turn of both loops takes sixteen passes over 1000 numbers, because each concatenation and each padding that its "
        "transpose makes ends a loop; padded reads are masked, and four rows a turn are stored that could be computed again."
        " " + _PARTS.format("15 pieces", 411, 554)
    ),
    "MLP step with Adam": _PARTS.format("17 pieces", 433, 726),
    "Hessian of a small MLP": _PARTS.format("31 pieces", 790, 1099),
    "GradBench gmm, d = 10, k = 10": _PARTS.format("23 pieces", 579, 787),
    "GradBench ba, p = 31843": _PARTS.format("15 pieces", 505, 786),
    "GradBench kmeans, n = 10000, k = 100": _PARTS.format("10 pieces", 245, 443),
    "scalar function": (
        "First call: three quarters of it is the code generator's work on sine and cosine for all arguments, 9 KB of assembly "
        "each."
    ),
    "unrolled loop, 200 ops": (
        "First call: three fifths is LLVM's work on 50 KB of straight code and on sine and cosine, the rest is Python's (tracing, "
        "planning, writing)."
    ),
}
