"""The universal functions by name, written out so that editors and type checkers know them."""

from fad.numpy.ufuncs import UFUNCS

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "conj",
    "conjugate",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "gcd",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "lcm",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "modf",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "spacing",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]

abs = UFUNCS["abs"]
absolute = UFUNCS["absolute"]
acos = UFUNCS["acos"]
acosh = UFUNCS["acosh"]
add = UFUNCS["add"]
arccos = UFUNCS["arccos"]
arccosh = UFUNCS["arccosh"]
arcsin = UFUNCS["arcsin"]
arcsinh = UFUNCS["arcsinh"]
arctan = UFUNCS["arctan"]
arctan2 = UFUNCS["arctan2"]
arctanh = UFUNCS["arctanh"]
asin = UFUNCS["asin"]
asinh = UFUNCS["asinh"]
atan = UFUNCS["atan"]
atan2 = UFUNCS["atan2"]
atanh = UFUNCS["atanh"]
bitwise_and = UFUNCS["bitwise_and"]
bitwise_count = UFUNCS["bitwise_count"]
bitwise_invert = UFUNCS["bitwise_invert"]
bitwise_left_shift = UFUNCS["bitwise_left_shift"]
bitwise_not = UFUNCS["bitwise_not"]
bitwise_or = UFUNCS["bitwise_or"]
bitwise_right_shift = UFUNCS["bitwise_right_shift"]
bitwise_xor = UFUNCS["bitwise_xor"]
cbrt = UFUNCS["cbrt"]
ceil = UFUNCS["ceil"]
conj = UFUNCS["conj"]
conjugate = UFUNCS["conjugate"]
copysign = UFUNCS["copysign"]
cos = UFUNCS["cos"]
cosh = UFUNCS["cosh"]
deg2rad = UFUNCS["deg2rad"]
degrees = UFUNCS["degrees"]
divide = UFUNCS["divide"]
divmod = UFUNCS["divmod"]
equal = UFUNCS["equal"]
exp = UFUNCS["exp"]
exp2 = UFUNCS["exp2"]
expm1 = UFUNCS["expm1"]
fabs = UFUNCS["fabs"]
float_power = UFUNCS["float_power"]
floor = UFUNCS["floor"]
floor_divide = UFUNCS["floor_divide"]
fmax = UFUNCS["fmax"]
fmin = UFUNCS["fmin"]
fmod = UFUNCS["fmod"]
frexp = UFUNCS["frexp"]
gcd = UFUNCS["gcd"]
greater = UFUNCS["greater"]
greater_equal = UFUNCS["greater_equal"]
heaviside = UFUNCS["heaviside"]
hypot = UFUNCS["hypot"]
invert = UFUNCS["invert"]
isfinite = UFUNCS["isfinite"]
isinf = UFUNCS["isinf"]
isnan = UFUNCS["isnan"]
lcm = UFUNCS["lcm"]
ldexp = UFUNCS["ldexp"]
left_shift = UFUNCS["left_shift"]
less = UFUNCS["less"]
less_equal = UFUNCS["less_equal"]
log = UFUNCS["log"]
log10 = UFUNCS["log10"]
log1p = UFUNCS["log1p"]
log2 = UFUNCS["log2"]
logaddexp = UFUNCS["logaddexp"]
logaddexp2 = UFUNCS["logaddexp2"]
logical_and = UFUNCS["logical_and"]
logical_not = UFUNCS["logical_not"]
logical_or = UFUNCS["logical_or"]
logical_xor = UFUNCS["logical_xor"]
maximum = UFUNCS["maximum"]
minimum = UFUNCS["minimum"]
mod = UFUNCS["mod"]
modf = UFUNCS["modf"]
multiply = UFUNCS["multiply"]
negative = UFUNCS["negative"]
nextafter = UFUNCS["nextafter"]
not_equal = UFUNCS["not_equal"]
positive = UFUNCS["positive"]
pow = UFUNCS["pow"]
power = UFUNCS["power"]
rad2deg = UFUNCS["rad2deg"]
radians = UFUNCS["radians"]
reciprocal = UFUNCS["reciprocal"]
remainder = UFUNCS["remainder"]
right_shift = UFUNCS["right_shift"]
rint = UFUNCS["rint"]
sign = UFUNCS["sign"]
signbit = UFUNCS["signbit"]
sin = UFUNCS["sin"]
sinh = UFUNCS["sinh"]
spacing = UFUNCS["spacing"]
sqrt = UFUNCS["sqrt"]
square = UFUNCS["square"]
subtract = UFUNCS["subtract"]
tan = UFUNCS["tan"]
tanh = UFUNCS["tanh"]
true_divide = UFUNCS["true_divide"]
trunc = UFUNCS["trunc"]
