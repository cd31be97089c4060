"""The plan of the house, as data: which part of `fad` may import which. The tests beside this file enforce it."""

# From the ground up. A file imports from its own layer and from the layers before it, never from a later one.
# An entry is a module or a package with everything in it; the longest entry that fits a module decides.
LAYERS: list[tuple[str, ...]] = [
    ("fad.core",),
    ("fad.primitives",),
    ("fad.compiler",),
    ("fad.transforms",),
    ("fad.numpy", "fad.scipy", "fad.random"),
    ("fad.tree", "fad.testing", "fad.debug", "fad.extend", "fad.export"),
    ("fad",),  # fad/__init__.py
    ("fad.nn", "fad.optim", "fad.io", "fad.data"),
    ("fad.train", "fad.viz"),
    ("fad.distributed",),
]

# These are written as a user would write them: out of the public names, and their own package.
ON_TOP = ("fad.nn", "fad.optim", "fad.io", "fad.data", "fad.train", "fad.viz")
PUBLIC = ("fad", "fad.debug", "fad.extend", "fad.numpy", "fad.random", "fad.scipy", "fad.testing", "fad.tree")

# Inside fad/primitives a rule uses ops of its own file or of one that stands before it here.
RULE_ORDER = ["structural", "elementwise", "reduction", "contraction", "indexing"]

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 50  # without the docstring

# Files and functions that may be longer, each with the reason: "fad/x.py" or "fad/x.py:function".
LONG_FOR_A_REASON: dict[str, str] = {
    "fad/optim/line_search.py:scale_by_zoom_linesearch": "nine settings of one search, named at the door and bound once",
}

# What `import fad` and eager work must not load: each costs more than fad itself.
HEAVY = (
    "cupy",
    "hypothesis",
    "jax",
    "llvmlite",
    "matplotlib",
    "ml_dtypes",
    "mpi4py",
    "numba",
    "safetensors",
    "scipy.integrate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse",
    "scipy.spatial",
    "scipy.special",
    "scipy.stats",
    "sklearn",
    "torch",
    "tqdm",
)

# Modules whose `__all__` is the public surface. Each name needs a docstring with an example, and a test.
PUBLIC_MODULES = (
    "fad",
    "fad.data",
    "fad.debug",
    "fad.extend",
    "fad.io",
    "fad.nn",
    "fad.numpy",
    "fad.numpy.fft",
    "fad.numpy.linalg",
    "fad.optim",
    "fad.random",
    "fad.scipy.integrate",
    "fad.scipy.linalg",
    "fad.scipy.optimize",
    "fad.scipy.special",
    "fad.scipy.stats",
    "fad.testing",
    "fad.train",
    "fad.tree",
    "fad.viz",
)

# Modules of fad that a function imports when it first needs them, each with the reason: "importer -> imported".
LOADED_ON_USE: dict[str, str] = {
    "fad.compiler.code -> fad.compiler.llvm.lowering": "code that is found on disk needs none of it",
    "fad.compiler.dispatch -> fad.compiler.c_functions": "loads LLVM, when a function is asked for its address",
    "fad.compiler.dispatch -> fad.compiler.execution": "loads LLVM, when the first Program is compiled",
    "fad.compiler.llvm.symbols -> fad.compiler.llvm.math_library": "code that is found on disk needs none of it",
    "fad.compiler.llvm.symbols -> fad.compiler.llvm.sort_functions": "code that is found on disk needs none of it",
    "fad.compiler.llvm.symbols -> fad.compiler.llvm.tile_functions": "code that is found on disk needs none of it",
    "fad.debug.profiling -> fad.compiler.report.outline": "loads LLVM, when somebody measures native code",
    "fad.debug.profiling -> fad.compiler.report.timing": "loads LLVM, when somebody measures native code",
    "fad.transforms.ahead_of_time -> fad.compiler.report.texts": "loads LLVM, when somebody looks at native code",
    "fad.compiler.segments -> fad.compiler.llvm.support": "what is known from disk needs none of it",
    "fad.compiler.operand_types -> fad.compiler.llvm.math_library": "loads LLVM, when the first operation is asked for",
    "fad.compiler.operand_types -> fad.compiler.llvm.scalar": "loads LLVM, when the first operation is asked for",
    "fad.compiler.operand_types -> fad.compiler.llvm.scalar_value": "loads LLVM, when the first operation is asked for",
}
