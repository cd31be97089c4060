"""Every operation of fad, each declared once with all its rules. Files import only files that stand earlier in the order
structural < elementwise < reduction < contraction < indexing.
"""
