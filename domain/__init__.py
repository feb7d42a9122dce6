"""The rules of Assay: facts, states and decisions.

No I/O, no clock, no randomness, no library but msgspec (and numpy in formulas).
"""
