"""Coefficients of the vector math library, printed by tools/fit_math_coefficients.py: do not edit.

A tuple lists the coefficients from the constant term up. Each comment gives the largest weighted error.
"""

EXP = {
    # 2**-61.6
    "f64": (
        float.fromhex("0x1.0000000000000p-1"),
        float.fromhex("0x1.5555555555559p-3"),
        float.fromhex("0x1.555555555555ap-5"),
        float.fromhex("0x1.111111110f7f6p-7"),
        float.fromhex("0x1.6c16c16c14634p-10"),
        float.fromhex("0x1.a01a01af6f6afp-13"),
        float.fromhex("0x1.a01a01b03d67ep-16"),
        float.fromhex("0x1.71ddf96578140p-19"),
        float.fromhex("0x1.27e4c67d9a823p-22"),
        float.fromhex("0x1.af5d00add0486p-26"),
        float.fromhex("0x1.1f94397bfdc58p-29"),
    ),
    # 2**-26.0
    "f32": (
        float.fromhex("0x1.0000000000000p-1"),
        float.fromhex("0x1.5554b20000000p-3"),
        float.fromhex("0x1.55548c0000000p-5"),
        float.fromhex("0x1.1226020000000p-7"),
        float.fromhex("0x1.6d960e0000000p-10"),
    ),
}
EXP2 = {
    # 2**-57.7
    "f64": (
        float.fromhex("0x1.ebfbdff82c59dp-3"),
        float.fromhex("0x1.c6b08d704a0ccp-5"),
        float.fromhex("0x1.3b2ab6fba0f37p-7"),
        float.fromhex("0x1.5d87fe78a247bp-10"),
        float.fromhex("0x1.4309130c7a84bp-13"),
        float.fromhex("0x1.ffcbfc771b14bp-17"),
        float.fromhex("0x1.62bfcccafa328p-20"),
        float.fromhex("0x1.b524d6abb3b2dp-24"),
        float.fromhex("0x1.e613584cf3e5dp-28"),
        float.fromhex("0x1.ea0d31206abbcp-32"),
    ),
    # 2**-28.1
    "f32": (
        float.fromhex("0x1.ebfbe00000000p-3"),
        float.fromhex("0x1.c6af8c0000000p-5"),
        float.fromhex("0x1.3b29da0000000p-7"),
        float.fromhex("0x1.5f02780000000p-10"),
        float.fromhex("0x1.4473ac0000000p-13"),
    ),
}
TANH = {
    # 2**-61.4
    "f64": (
        float.fromhex("0x1.5555555555558p-1"),
        float.fromhex("-0x1.5555555555558p-2"),
        float.fromhex("0x1.111111110fb2fp-3"),
        float.fromhex("-0x1.6c16c16c14db6p-5"),
        float.fromhex("0x1.a01a01ae4ce0ap-7"),
        float.fromhex("-0x1.a01a01ae78cbfp-9"),
        float.fromhex("0x1.71ddfbffff4e5p-11"),
        float.fromhex("-0x1.27e4c98ddb2ccp-13"),
        float.fromhex("0x1.af58cdb447237p-16"),
        float.fromhex("-0x1.1f903c398140cp-18"),
    ),
    # 2**-26.0
    "f32": (
        float.fromhex("0x1.5554b80000000p-1"),
        float.fromhex("-0x1.5554ca0000000p-2"),
        float.fromhex("0x1.1222b40000000p-3"),
        float.fromhex("-0x1.6d6f780000000p-5"),
    ),
}
SINH = {
    # 2**-61.3
    "f64": (
        float.fromhex("0x1.5555555555555p-3"),
        float.fromhex("0x1.11111111110fdp-7"),
        float.fromhex("0x1.a01a01a01ee8ap-13"),
        float.fromhex("0x1.71de3a4e1326cp-19"),
        float.fromhex("0x1.ae6460fcb4eddp-26"),
        float.fromhex("0x1.611cb258b08e1p-33"),
        float.fromhex("0x1.b4127de53799fp-41"),
    ),
    # 2**-32.2
    "f32": (
        float.fromhex("0x1.5555560000000p-3"),
        float.fromhex("0x1.11111e0000000p-7"),
        float.fromhex("0x1.a008fa0000000p-13"),
        float.fromhex("0x1.78a7ee0000000p-19"),
    ),
}
LOG = {
    # 2**-51.5
    "f64": (
        float.fromhex("0x1.5555555555558p-1"),
        float.fromhex("0x1.9999999995218p-2"),
        float.fromhex("0x1.2492492e05210p-2"),
        float.fromhex("0x1.c71c62cea98a6p-3"),
        float.fromhex("0x1.7462ba9b1f690p-3"),
        float.fromhex("0x1.39fdaa578d824p-3"),
        float.fromhex("0x1.2b60775512323p-3"),
    ),
    # 2**-22.4
    "f32": (
        float.fromhex("0x1.55555c0000000p-1"),
        float.fromhex("0x1.997c040000000p-2"),
        float.fromhex("0x1.2eec1c0000000p-2"),
    ),
}
LOG_TAIL = {
    # 2**-51.7
    "f64": (
        float.fromhex("0x1.999999999999fp-2"),
        float.fromhex("0x1.249249248e485p-2"),
        float.fromhex("0x1.c71c71d809b1fp-3"),
        float.fromhex("0x1.745d09dd2b526p-3"),
        float.fromhex("0x1.3b18bde7376b9p-3"),
        float.fromhex("0x1.101816d009409p-3"),
        float.fromhex("0x1.087f4cdf17a9ep-3"),
    ),
    # 2**-22.6
    "f32": (
        float.fromhex("0x1.9999a40000000p-2"),
        float.fromhex("0x1.247a0c0000000p-2"),
        float.fromhex("0x1.d810ea0000000p-3"),
    ),
}
SIN = {
    # 2**-55.4
    "f64": (
        float.fromhex("-0x1.5555555555555p-3"),
        float.fromhex("0x1.1111111110bb3p-7"),
        float.fromhex("-0x1.a01a019e83dacp-13"),
        float.fromhex("0x1.71de3796bf004p-19"),
        float.fromhex("-0x1.ae600b32802abp-26"),
        float.fromhex("0x1.5e0b290f83bbep-33"),
    ),
    # 2**-35.1
    "f32": (
        float.fromhex("-0x1.5555560000000p-3"),
        float.fromhex("0x1.11110e0000000p-7"),
        float.fromhex("-0x1.a013a80000000p-13"),
        float.fromhex("0x1.6dbe460000000p-19"),
    ),
}
COS = {
    # 2**-59.4
    "f64": (
        float.fromhex("0x1.5555555555555p-5"),
        float.fromhex("-0x1.6c16c16c16967p-10"),
        float.fromhex("0x1.a01a019f4ec4ep-16"),
        float.fromhex("-0x1.27e4fa17f0fbcp-22"),
        float.fromhex("0x1.1eeb68fddc86fp-29"),
        float.fromhex("-0x1.907db060621d4p-37"),
    ),
    # 2**-28.9
    "f32": (
        float.fromhex("0x1.5555540000000p-5"),
        float.fromhex("-0x1.6c12d40000000p-10"),
        float.fromhex("0x1.9bd9020000000p-16"),
    ),
}
ASIN = {
    # 2**-56.1
    "f64": (
        float.fromhex("0x1.5555555555556p-3"),
        float.fromhex("0x1.3333333332e38p-4"),
        float.fromhex("0x1.6db6db6e3f9dfp-5"),
        float.fromhex("0x1.f1c71c15a8abfp-6"),
        float.fromhex("0x1.6e8bb2ffc94c8p-6"),
        float.fromhex("0x1.1c4d19f22da5cp-6"),
        float.fromhex("0x1.c9d22fb4a3064p-7"),
        float.fromhex("0x1.78082efe8fb33p-7"),
        float.fromhex("0x1.5301dd37ee593p-7"),
        float.fromhex("0x1.5f5d3c3baae6ep-8"),
        float.fromhex("0x1.214aed3295eb3p-6"),
        float.fromhex("-0x1.f383a074f45a9p-7"),
        float.fromhex("0x1.db784a59d9593p-6"),
    ),
    # 2**-28.0
    "f32": (
        float.fromhex("0x1.5555540000000p-3"),
        float.fromhex("0x1.3334480000000p-4"),
        float.fromhex("0x1.6d55b80000000p-5"),
        float.fromhex("0x1.fe15760000000p-6"),
        float.fromhex("0x1.1687540000000p-6"),
        float.fromhex("0x1.15f6f20000000p-5"),
    ),
}
ATAN = {
    # 2**-54.9
    "f64": (
        float.fromhex("-0x1.5555555555555p-2"),
        float.fromhex("0x1.99999999993a5p-3"),
        float.fromhex("-0x1.249249243a4d3p-3"),
        float.fromhex("0x1.c71c7187a91dcp-4"),
        float.fromhex("-0x1.745d0b83df67dp-4"),
        float.fromhex("0x1.3b126abd5e5f1p-4"),
        float.fromhex("-0x1.10fadd6972083p-4"),
        float.fromhex("0x1.dfecc5cccec4bp-5"),
        float.fromhex("-0x1.a0b99a06edc7cp-5"),
        float.fromhex("0x1.41ba1fadaed79p-5"),
        float.fromhex("-0x1.3afc8d9de4122p-6"),
    ),
    # 2**-26.0
    "f32": (
        float.fromhex("-0x1.5555540000000p-2"),
        float.fromhex("0x1.99974a0000000p-3"),
        float.fromhex("-0x1.24230a0000000p-3"),
        float.fromhex("0x1.b844a40000000p-4"),
        float.fromhex("-0x1.08dd520000000p-4"),
    ),
}
CBRT = {
    # 2**-19.6
    "f64": (
        float.fromhex("0x1.e4b0ba6ddd6edp-2"),
        float.fromhex("0x1.ad236f3c451d1p-1"),
        float.fromhex("-0x1.e07dd5a6daf2dp-2"),
        float.fromhex("0x1.9f4a22435f253p-3"),
        float.fromhex("-0x1.9cc4dadac472cp-5"),
        float.fromhex("0x1.5e8664b0f694dp-8"),
    ),
    # 2**-10.6
    "f32": (
        float.fromhex("0x1.3e36fe0000000p-1"),
        float.fromhex("0x1.c1fd240000000p-2"),
        float.fromhex("-0x1.ee232e0000000p-5"),
    ),
}
ERF = {
    # 2**-57.0
    "f64": (
        float.fromhex("0x1.06eba8214db68p-3"),
        float.fromhex("-0x1.812746b0379c2p-2"),
        float.fromhex("0x1.ce2f21a041011p-4"),
        float.fromhex("-0x1.b82ce312060f2p-6"),
        float.fromhex("0x1.565bccfa96aabp-8"),
        float.fromhex("-0x1.c02db0725abccp-11"),
        float.fromhex("0x1.f9a2bf651dd49p-14"),
        float.fromhex("-0x1.f4ca93ae2de49p-17"),
        float.fromhex("0x1.b98271c9de328p-20"),
        float.fromhex("-0x1.5c16a89aec86ap-23"),
        float.fromhex("0x1.d782f58837a3ep-27"),
        float.fromhex("-0x1.acdb0abaa29cep-31"),
    ),
    # 2**-29.7
    "f32": (
        float.fromhex("0x1.06eba80000000p-3"),
        float.fromhex("-0x1.81273e0000000p-2"),
        float.fromhex("0x1.ce2d200000000p-4"),
        float.fromhex("-0x1.b7fbb00000000p-6"),
        float.fromhex("0x1.5419ce0000000p-8"),
        float.fromhex("-0x1.a484b80000000p-11"),
        float.fromhex("0x1.4ae14e0000000p-14"),
    ),
}
ERFC = {
    # 2**-56.1
    "f64": (
        float.fromhex("-0x1.992fa51511ec9p-7"),
        float.fromhex("-0x1.1f367683f899ep-3"),
        float.fromhex("0x1.d5f294815bdffp-9"),
        float.fromhex("0x1.510169d095f58p-4"),
        float.fromhex("-0x1.bda9309a2cadap-4"),
        float.fromhex("0x1.7a14188aae37fp-4"),
        float.fromhex("-0x1.e0d0fa6d2f8ebp-5"),
        float.fromhex("0x1.d0b003783dac5p-6"),
        float.fromhex("-0x1.3f603c5e3c47ep-7"),
        float.fromhex("0x1.cc3a1170ff6b9p-10"),
        float.fromhex("0x1.33fb4d0007350p-12"),
        float.fromhex("-0x1.303fe95f651adp-12"),
        float.fromhex("0x1.b13e3638889e6p-15"),
        float.fromhex("0x1.779b398a3cca5p-16"),
        float.fromhex("-0x1.7fbd6027c91fdp-17"),
        float.fromhex("-0x1.0796b96d7c2eep-20"),
        float.fromhex("0x1.d1fb8bdb926bbp-20"),
        float.fromhex("-0x1.8514b3f5ba971p-25"),
        float.fromhex("-0x1.0066fde25c707p-22"),
        float.fromhex("0x1.d11ad7580771ep-27"),
        float.fromhex("0x1.9d0dc73adc5cep-26"),
    ),
    # 2**-26.2
    "f32": (
        float.fromhex("-0x1.992fa80000000p-7"),
        float.fromhex("-0x1.1f36900000000p-3"),
        float.fromhex("0x1.d5f6200000000p-9"),
        float.fromhex("0x1.5108320000000p-4"),
        float.fromhex("-0x1.bdab320000000p-4"),
        float.fromhex("0x1.79d2bc0000000p-4"),
        float.fromhex("-0x1.e0b51a0000000p-5"),
        float.fromhex("0x1.d4b9b60000000p-6"),
        float.fromhex("-0x1.40d0480000000p-7"),
        float.fromhex("0x1.5afab80000000p-10"),
        float.fromhex("0x1.7ed93e0000000p-12"),
    ),
}
ERFINV_CENTRE = {
    # 2**-58.2
    "f64": (
        float.fromhex("0x1.a755e7c99ae86p+0"),
        float.fromhex("0x1.ebd80d9b13dfap-3"),
        float.fromhex("-0x1.8b6c33114ead6p-8"),
        float.fromhex("-0x1.84576948356b3p-11"),
        float.fromhex("0x1.879c2a20b529bp-13"),
        float.fromhex("-0x1.d1d1f7ca21c65p-17"),
        float.fromhex("-0x1.6e8a53cde92f9p-20"),
        float.fromhex("0x1.c6b4f88bdb88bp-22"),
        float.fromhex("-0x1.f36ced46ad803p-26"),
        float.fromhex("-0x1.1a9eb0ecb8478p-28"),
        float.fromhex("0x1.20f53640f7c19p-30"),
        float.fromhex("-0x1.dc3f145bee8e5p-35"),
        float.fromhex("-0x1.c8a3f9daa1af9p-37"),
        float.fromhex("0x1.7235e3e345e43p-39"),
        float.fromhex("-0x1.6bdbc605d9cb5p-44"),
        float.fromhex("-0x1.686e9039490cap-45"),
        float.fromhex("0x1.d6c67fecaeccdp-48"),
        float.fromhex("-0x1.6fb7c82944e0ep-55"),
        float.fromhex("-0x1.1ca5a745a49eep-53"),
        float.fromhex("0x1.1ebe8115d6a31p-56"),
        float.fromhex("0x1.9a84adfa15eb4p-61"),
        float.fromhex("-0x1.9bb58edbe3d90p-62"),
        float.fromhex("0x1.389af3f89b3f4p-66"),
        float.fromhex("0x1.e666aeb3bd8bfp-69"),
        float.fromhex("-0x1.6b1a75c44af30p-72"),
    ),
    # 2**-28.0
    "f32": (
        float.fromhex("0x1.a755e80000000p+0"),
        float.fromhex("0x1.ebd80c0000000p-3"),
        float.fromhex("-0x1.8b6cca0000000p-8"),
        float.fromhex("-0x1.8452aa0000000p-11"),
        float.fromhex("0x1.87b3b80000000p-13"),
        float.fromhex("-0x1.d29a9e0000000p-17"),
        float.fromhex("-0x1.73de6a0000000p-20"),
        float.fromhex("0x1.cdef8a0000000p-22"),
        float.fromhex("-0x1.adfbe60000000p-26"),
        float.fromhex("-0x1.5d5b780000000p-28"),
        float.fromhex("0x1.71e27c0000000p-31"),
        float.fromhex("0x1.3d49d40000000p-36"),
    ),
}
ERFINV_MIDDLE = {
    # 2**-53.3
    "f64": (
        float.fromhex("0x1.8abcc380d5a47p+1"),
        float.fromhex("0x1.0158a6d641d3bp+0"),
        float.fromhex("0x1.5ffcfe5b7a3f9p-8"),
        float.fromhex("-0x1.ebadabb8a15d3p-9"),
        float.fromhex("0x1.468eeca3e1066p-9"),
        float.fromhex("-0x1.ba92412ff7aa8p-10"),
        float.fromhex("0x1.f3cc560e0b2b2p-11"),
        float.fromhex("-0x1.7448a921db614p-12"),
        float.fromhex("0x1.932c6698faa1cp-16"),
        float.fromhex("0x1.1e6858eeb453fp-14"),
        float.fromhex("-0x1.8cee033e6d8d1p-15"),
        float.fromhex("0x1.a298d3407c677p-17"),
        float.fromhex("0x1.882b3dc6cae69p-19"),
        float.fromhex("-0x1.0d592000e5b96p-18"),
        float.fromhex("0x1.941fa8269a21cp-20"),
        float.fromhex("0x1.34c87e79eb28ep-26"),
        float.fromhex("-0x1.2a3f9b2c60547p-22"),
        float.fromhex("0x1.8643b4e2655bdp-24"),
        float.fromhex("0x1.bcb07f2f32a47p-29"),
    ),
    # 2**-26.8
    "f32": (
        float.fromhex("0x1.8abcc40000000p+1"),
        float.fromhex("0x1.0158a20000000p+0"),
        float.fromhex("0x1.600dae0000000p-8"),
        float.fromhex("-0x1.ead7260000000p-9"),
        float.fromhex("0x1.451b5a0000000p-9"),
        float.fromhex("-0x1.c55ae60000000p-10"),
        float.fromhex("0x1.0588700000000p-10"),
        float.fromhex("-0x1.0fc30e0000000p-12"),
        float.fromhex("-0x1.aa55140000000p-15"),
    ),
}
ERFINV_TAIL = {
    # 2**-54.2
    "f64": (
        float.fromhex("0x1.3664ddd1ad7fbp+2"),
        float.fromhex("0x1.02a30d1fba10cp+0"),
        float.fromhex("-0x1.22ea5df08ce62p-13"),
        float.fromhex("-0x1.c2f36aa1b6737p-13"),
        float.fromhex("0x1.3ebf4ebbac3e3p-14"),
        float.fromhex("-0x1.4a34901d353c9p-16"),
        float.fromhex("0x1.2fbd24656b9a2p-18"),
        float.fromhex("-0x1.0a9046de9e8d3p-20"),
        float.fromhex("0x1.ebcb39f255ceep-23"),
        float.fromhex("-0x1.2232410ad9f63p-24"),
        float.fromhex("0x1.f499e5884baccp-26"),
        float.fromhex("-0x1.05b2ea5472af4p-26"),
        float.fromhex("0x1.060697d416384p-27"),
        float.fromhex("-0x1.e0b5b8eeabd19p-29"),
        float.fromhex("0x1.9cc33c289e36dp-30"),
        float.fromhex("-0x1.cf3f4963de3b5p-32"),
        float.fromhex("-0x1.c35a019dc2832p-36"),
        float.fromhex("0x1.5539f70ab8ad7p-35"),
    ),
}
LOG_GAMMA = {
    # 2**-59.4
    "f64": (
        float.fromhex("0x1.b0ee6072093cep-2"),
        float.fromhex("0x1.4a34cc4a60fa7p-2"),
        float.fromhex("-0x1.13e001a557616p-4"),
        float.fromhex("0x1.51322ac7d8005p-6"),
        float.fromhex("-0x1.e404fc218884cp-8"),
        float.fromhex("0x1.7add6eae560abp-9"),
        float.fromhex("-0x1.38ac5c309fe19p-10"),
        float.fromhex("0x1.0b36af364ae2ep-11"),
        float.fromhex("-0x1.d3fd4941afb11p-13"),
        float.fromhex("0x1.a127dc3ffa8fbp-14"),
        float.fromhex("-0x1.78defdf8d7b21p-15"),
        float.fromhex("0x1.5806f21260860p-16"),
        float.fromhex("-0x1.3ca93836ae706p-17"),
        float.fromhex("0x1.263edfb4b6c2ep-18"),
        float.fromhex("-0x1.131d63707ed2fp-19"),
        float.fromhex("0x1.ee133d7959264p-21"),
        float.fromhex("-0x1.c2ff3f64358dbp-22"),
        float.fromhex("0x1.2b0fbacd2ecfbp-22"),
        float.fromhex("-0x1.33c115cfcec80p-23"),
    ),
    # 2**-25.5
    "f32": (
        float.fromhex("0x1.b0ee600000000p-2"),
        float.fromhex("0x1.4a34c80000000p-2"),
        float.fromhex("-0x1.13e0fc0000000p-4"),
        float.fromhex("0x1.513db40000000p-6"),
        float.fromhex("-0x1.e2c9b80000000p-8"),
        float.fromhex("0x1.7750380000000p-9"),
        float.fromhex("-0x1.57d8c60000000p-10"),
        float.fromhex("0x1.3d7d120000000p-11"),
    ),
}
LOG2E = {
    "f64": (float.fromhex("0x1.71547652b82fep+0"),),
    "f32": (float.fromhex("0x1.7154760000000p+0"),),
}
LOG2E_PAIR = {
    "f64": (
        float.fromhex("0x1.71547652b82fep+0"),
        float.fromhex("0x1.777d0ffda0d24p-56"),
    ),
    "f32": (
        float.fromhex("0x1.7154760000000p+0"),
        float.fromhex("0x1.4ae0c00000000p-26"),
    ),
}
LOG10E_PAIR = {
    "f64": (
        float.fromhex("0x1.bcb7b1526e50ep-2"),
        float.fromhex("0x1.95355baaafad3p-57"),
    ),
    "f32": (
        float.fromhex("0x1.bcb7b20000000p-2"),
        float.fromhex("-0x1.5b235e0000000p-27"),
    ),
}
LN2 = {
    "f64": (
        float.fromhex("0x1.62e42fefa3800p-1"),
        float.fromhex("0x1.ef35793c76730p-45"),
    ),
    "f32": (
        float.fromhex("0x1.62e4000000000p-1"),
        float.fromhex("0x1.7f7d1c0000000p-20"),
    ),
}
HALF_LN2 = {
    "f64": (
        float.fromhex("0x1.62e42fefa39efp-2"),
        float.fromhex("0x1.abc9e3b39803fp-57"),
    ),
    "f32": (
        float.fromhex("0x1.62e4300000000p-2"),
        float.fromhex("-0x1.05c6100000000p-30"),
    ),
}
LOG10_2 = {
    "f64": (
        float.fromhex("0x1.34413509f7800p-2"),
        float.fromhex("0x1.fef311f12b358p-46"),
    ),
    "f32": (
        float.fromhex("0x1.3440000000000p-2"),
        float.fromhex("0x1.3509f80000000p-18"),
    ),
}
TWO_OVER_PI = {
    "f64": (float.fromhex("0x1.45f306dc9c883p-1"),),
    "f32": (float.fromhex("0x1.45f3060000000p-1"),),
}
HALF_PI = {
    "f64": (
        float.fromhex("0x1.921fb54442d18p+0"),
        float.fromhex("0x1.1a62633145c07p-54"),
        float.fromhex("-0x1.f1976b7ed8fbcp-110"),
    ),
    "f32": (
        float.fromhex("0x1.921fb60000000p+0"),
        float.fromhex("-0x1.777a5c0000000p-25"),
        float.fromhex("-0x1.ee59da0000000p-50"),
    ),
}
QUARTER_PI = {
    "f64": (
        float.fromhex("0x1.921fb54442d18p-1"),
        float.fromhex("0x1.1a62633145c07p-55"),
    ),
    "f32": (
        float.fromhex("0x1.921fb00000000p-1"),
        float.fromhex("0x1.5110b40000000p-23"),
    ),
}
TWO_THIRDS = {
    "f64": (
        float.fromhex("0x1.5555555555555p-1"),
        float.fromhex("0x1.5555555555555p-55"),
    ),
    "f32": (
        float.fromhex("0x1.5555560000000p-1"),
        float.fromhex("-0x1.5555560000000p-26"),
    ),
}
# 2/pi = TWO_OVER_PI_BITS / 2**TWO_OVER_PI_COUNT
TWO_OVER_PI_COUNT = 1344
TWO_OVER_PI_BITS = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6babf0cfbc209af4361da9e391615ee61b08",
    16,
)
