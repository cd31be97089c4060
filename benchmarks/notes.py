"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

_PARTS = (
    "First call: LLVM works on {0} for {1} ms of processor time, on as many threads as there are cores, of {2} ms in all; seven tenths of "
    "that is the generation of code, which takes 7 ms for a kernel of forty instructions: the LLVM in llvmlite's wheels has its assertions on. "
    "{3}Python's lowering is most of the rest."
)

NOTES: dict[str, str] = {
    "memory-bound chain 8e6": (
        "The limit copies into memory that is already mapped; a result handed to the user is new memory. On one thread "
        "a copy into new memory took 6.4 ms against 3.7 ms, with huge pages as NumPy asks for them; JAX and "
        "torch.compile take 6x the limit. First call: the call itself touches new memory; LLVM's part is the thread "
        "pool, which the first large loop of a process compiles (14 ms), and 20 ms for the loop."
    ),
    "tanh/exp chain 2e6": (
        "On one thread 6.7 ns an element against JAX's 7.0. What remains is accuracy: JAX's tanh is one rational function, "
        "fad's stays within 2 ULP and costs 2.4 ns where JAX's costs 1.9. First call: 55 of 120 ms of processor time are LLVM's, on the loop, "
        "tanh, exp, and the thread pool, which the first large loop of a process compiles (11 ms)."
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
    "Hessian of a small MLP": _PARTS.format(
        "31 pieces",
        509,
        783,
        "Seven of them have loops that fad leaves to LLVM's vectoriser (conditional reads of padded arrays, reductions of eight "
        "numbers): 196 ms. ",
    ),
    "GradBench kmeans, n = 10000, k = 100": _PARTS.format(
        "10 pieces", 150, 268, "Two of them, sums of eight numbers, are left to LLVM's vectoriser: 56 ms. "
    ),
    "scalar function": (
        "First call: half of it is the code generator's work on sine, cosine and exp, a kilobyte of code each, and on sine and cosine "
        "of huge numbers."
    ),
    "unrolled loop, 200 ops": (
        "First call: three fifths is Python's (tracing, planning, writing 60 KB of assembly for 400 operations), the rest LLVM's work on "
        "it: one loop of 200 calls."
    ),
}
