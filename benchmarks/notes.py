"""What stands in the way of rows that miss their target, by problem name. Written from measurements, by hand."""

_PARTS = (
    "First call: LLVM works on {0} for {1} ms of processor time, on as many threads as there are cores, of {2} ms in all; five sixths of "
    "that is the generation of code, 4 to 15 ms a kernel: the LLVM in llvmlite's wheels has its assertions on. Python's tracing and lowering is "
    "most of the rest."
)

NOTES: dict[str, str] = {
    "eager: MLP step 64-128-10, batch 64": (
        "Some 50 operations, 20 more than by hand, take 200 us in NumPy's calls and nearly as long in the Python that records and calls them; the step by hand "
        "takes 150 us. Operation by operation the target is out of reach; `jit` removes both. 2.0 to 2.7 by process."
    ),
    "eager: MLP step 784-256-256-10, batch 256": (
        "The interpreter's part, by samples of the instruction pointer: 0.76 of 4.0 ms where the step by hand spends 0.2 of 3.4, mostly waiting for code and data that "
        "matrix products have put out of the processor's caches. NumPy's loops take no longer than by hand, products 0.08 ms longer; no page is new in either. "
        "230 calls where there were 290: 100 to 150 us less than before with both in one process (1.11 to 1.12 of NumPy there where it was 1.14, on one thread 1.09 for 1.12). "
        "Beside all peers the noise hides it: 1.19, 1.19, 1.21, 1.25, 1.31 in five processes, before 1.18, 1.24, 1.27: still around the target, not below it. "
        "Writing the maximum over its operand would gain nothing beyond noise. Since then 1.169 to 1.148, both in one process (means of 22 processes, paired, +-0.003). "
        "What is left is spread over the whole step: of the 9 % beyond NumPy on one thread, 4.5 in the loss and its pullbacks, 3 around the biases and maxima, "
        "0.8 before the first product, nothing in the update. Beside all peers 1.06 to 1.19 in seven processes. The same code takes 6.5 to 12.7 % by process, as its objects happen to lie in memory."
    ),
    "memory-bound chain 8e6": (
        "Results of 4 to 64 MiB take the memory of a dead result of the same size, so no page is new: 0.97 of the copy. First "
        "call: it touches 64 MB of new memory, which takes 5 to 9 ms of processor time in huge pages where the machine has them at hand, 155 where the host "
        "must give them back (4.8 ms for each 2 MB), and 17 to 30 in small pages, which it need not give back. A native thread touches the memory while the loop is compiled or read from disk, "
        "and turns to small pages where a huge one comes slowly; the loop's two threads touch the rest. First call 26 to 37 ms, JAX's 48 to 74: 0.50 and 0.51 of JAX as medians of five and three processes, 0.76 in "
        "a run before; 0.44 and 0.46 since LLVM's linker compiles no empty module. From disk 10, and 20 to 30 in a quarter of the processes, where huge pages came slowly; JAX's 34 to 110."
    ),
    "tanh/exp chain 2e6": (
        "From process to process 0.4 to 1.0 of JAX: JAX takes 14 to 16 ms while each call gets 16 MB of new pages, and 6 once the C library hands it the memory of "
        "the result before, which begins sooner or later; fad takes 5.6 to 6, without page faults, and 11 where other work on the host's cores takes half of "
        "them. First call: 0.41 to 0.53 of JAX (0.44 and 0.49 in the latest runs), some 25 ms: LLVM works 20 ms on two threads, 1 for each module before any of its content, Python 8, and the run takes 7. From disk 0.25 to 0.35: 2 ms before "
        "the run, and the run 3.5 to 5, of which steady ones take 2.5: a third of the result's pages come during it."
    ),
    "tanh/exp chain 2e6, gradient": (
        "0.4 to 0.85 of JAX, whose time has the two levels of the chain's; fad takes 6.2 ms. Both functions wait for their own results: the processor holds some "
        "120 operations that wait, so time is about the number of operations times the length of the chain of them, and more parallel polynomials gain nothing."
    ),
    "Black-Scholes and greeks 2e5": (
        "Six results of 1.6 MB die together, which the C library gave back to the system: half of 4.2 ms were 2300 page faults. Kept, they are written in 1.8 ms, "
        "1.6 of the primal where it was 3.7."
    ),
    "transformer block step": (
        "The large products take two thirds of the step, the six batched ones of attention (128 x 32 x 128) a sixth. Gradient over primal: two products for each of the primal's are "
        "three times its work already. The scores and their softmax are written to memory, and the gradient of the maximum, which cancels, is computed. "
        "Since workers keep off the caller's core, 7.8 to 8.0 ms beside other peers on a Xeon with AVX-512, 0.91 to 0.94 of PyTorch; before, 8.1 to 10.1, 0.87 to 1.12."
    ),
    "convolutional network step": (
        "Gradient over primal: each of the two gradients of a convolution takes as long as it, and the passes over activations backwards a tenth of the step. Convolutions over rows of several "
        "examples, aligned panels, sums that stay in registers and one sum less in the normalisation took the gradient from 1.90 to 1.60 ms in processes in turn, but the primal "
        "from 0.61 to 0.49: 3.1 to 3.3. Loops that write over dead arrays, temporaries in huge pages and sharing loops over what several threads made, each part on the core that has it: gradient 1.57 to "
        "1.23 ms, primal 0.54 to 0.44 (medians of eight processes in turn): 2.86 to 3.03 in different runs."
    ),
    "transformer step": (
        "Gradient over primal, without AdamW's update: loops take 2.0 times those of the primal, but the products 3.2 times (24.0 of 7.4 ms): gradients by weights run at 108 to 120 "
        "GFLOP/s where the products forwards run at 126, those of attention at 50 to 75 for 71 to 78. 3.04 where it was 3.14 in processes that took turns."
    ),
    "transformer step, bfloat16": "Gradient over primal: as for the transformer step.",
    "eager: import": (
        "Between 1.17 and 1.51 from run to run, with 78 modules; 67 since, in processes taken in turn 1.29 where it was 1.34. A tenth to a seventh of fad's part is the collector of cycles, which visits NumPy's "
        "objects, a quarter the unmarshalling of a megabyte of bytecode; the rest is finding files and declaring operations."
    ),
    "LSTM by scan, 100 steps": (
        "Products of the stacked input and the gradients by weights are one product each outside of the loop; the two that remain in each turn "
        "are too small for more than one thread. The one of the gradient reads its matrix from a transposed copy, which OpenBLAS takes 0.4 of the time for: 4.92 "
        "for 5.92 ms, 2.16 for 2.59 of the primal (medians of four processes in turn). What differs between processes by up to 1.5 is the machine: JAX and PyTorch "
        "differ likewise beside it in the same process, and the ratio to JAX stays between 0.5 and 0.68."
    ),
    "per-example gradients": (
        "Gradient over primal: most of the step writes the gradients, 5.5 MB; the primal writes next to nothing. Written by a loop of vectors and nothing else they take "
        "210 us on one thread and 92 on two (Xeon, 2 MB of second cache for each core), stores around the caches 227 and 114, where the primal takes 43 in all: forwards and then these stores are 3.1, or 3.4 when they took 105, an estimate without any arithmetic backwards. Two threads write them since "
        "arrays that a core's cache does not hold count for more work: 3.8 (172 us) where it was 6.6 (290 us), medians of five processes in turn; 4.3 to 4.8 (205 to 240 us) an hour later, when the loop alone took 105. Where another process has one of two cores, 430 us. "
        "On another processor, whose primal takes longer, 2.8 with one thread."
    ),
    "GradBench ode, n = 1000, s = 100": (
        "A turn is one loop in each direction, whose vectors keep the neighbours in registers: 0.28 to 0.36 of JAX by run, 1.3 us forwards and 1.7 us backwards on "
        "one thread (0.70 to 0.83 of the time that the numbers at the ends took one by one). What remains are 70 to 90 instructions for eight elements, a third of "
        "them to move lanes; where the processor's core has nothing else to do, each stage waits for the one before."
    ),
    "GradBench ba, p = 31843": (
        "The ratio of the operations is 7: 19.1 million against 2.8, since two pullbacks run for each observation, and the result has ten times the numbers. Both "
        "are one loop whose vectors hold an element of several observations; in the gradient's, all vectors are full since joined short rows ask nothing of "
        "their places, where a loop over single observations did all the work: gradient over primal 2.1 to 3.3 by process, since either varies by a half; 4.5 to 5.3 before."
    ),
    "MLP step with Adam": (
        "Both call the same OpenBLAS. On the Xeon with AVX-512 the eight products take 5.3 to 5.9 ms at 300 GFLOP/s, 0.69 to 0.76 of what a core can do, and the gradient no longer than they; "
        "Adam, one pass over memory in the third cache, takes 0.5 ms, where a loop in C with the same divisions takes 0.31, with or without prefetching, and with stores around the caches more. "
        "Until workers kept off the caller's core, both threads shared one after a pause of a fifth of a second and more: 11 to 15 ms instead of 7 to 7.7. "
        "The second call after a pause still takes 0.3 to 0.5 ms longer than later ones, of the products alone too. Ratio to them: 1.14 to 1.17 with the process to itself, 1.13 to 1.26 beside other peers; in the run with 1.13 the products were slower (7.0 ms for 6.4), the step hardly quicker (7.9 for 8.0). "
        "Tiles of 12 rows and 32 columns from LLVM reach 0.93 of a core within the caches, but 0.77 to 0.83 with the copies into panels: some 5 % of the step for 35 ms "
        "of LLVM's time, so they were left out. Blocks of rows and of columns are as fast, and Adam without its divisions is no faster."
    ),
    "Hessian of a small MLP": (
        "A third to a half of it are products of batches of small matrices (16 columns), one call of BLAS for each; tiles without BLAS were "
        "no faster for 20 columns. Operands whose contracted axis lies between free ones are multiplied matrix by matrix where they lie, which four products do: 0.87 of the "
        "time with transposed copies in front of them, 2.69 for 3.09 ms (medians of four processes in turn). First call 0.40 to 0.45 of JAX's in five "
        "processes since products no longer load SciPy's OpenBLAS, whose thread kept one of two cores busy; 0.42 in the single one shown. Before that: "
        + _PARTS.format("31 pieces in 17 modules", 253, 521)
    ),
    "GradBench lse, n = 1280000": (
        "First call: LLVM's work on six kernels, exp and what calls them, some 65 ms of processor time on two threads."
    ),
    "GradBench kmeans, n = 10000, k = 100": (
        "Distances and minima are one loop. The gradient adds to nine rows of 100 numbers for each point, but leaves out vectors of zeros: gradient over primal "
        "1.9 to 2.4, where it was 3.3 to 4.1; the time is 0.3 to 0.6 of what it was. "
        "First call 0.36 to 0.43 of JAX's in five processes since sums begin with one instruction for LLVM in place of a loop each. Before that: "
        + _PARTS.format("9 pieces", 86, 175)
    ),
    "Adam over 200 arrays": (
        "First call: nine tenths are Python's, on one thread: 3000 operations are traced, simplified, placed in loops and looked up again, 150 us each. "
        "LLVM compiles two kernels, which all arrays share, and the function that calls them."
    ),
    "integrand for scipy's quad": (
        "Between 0.95 and 1.14 of numba's function from run to run: SciPy's own work for each call is in both."
    ),
    "scalar function": (
        "First call: 0.32 to 0.51 of JAX's, median 0.40 of six processes, 0.60 before sine, cosine, exp and what calls them were compiled quickly: 29 for 43 ms."
    ),
    "unrolled loop, 200 ops": (
        "First call: 0.40 to 0.58 of JAX's by run. Three fifths is Python's (tracing, planning, writing 44 KB of assembly for 400 "
        "operations, 0.2 ms each), on one thread; LLVM's work on sine and cosine for eight numbers and on those of huge numbers begins on another one while "
        "the loop is written, since the ratios were taken (0.90 of the time before, median of 16 pairs); a tenth is LLVM's work on the loop of "
        "200 calls, which is not optimised: it runs as fast, as all values wait in memory across the calls. Python's part has been shortened since: "
        "58 ms where it was 66, on a machine where JAX takes 131."
    ),
}
