"""How much rounding is forgiven at a cut, so that rows which are equal on paper are equal here."""

AT_A_SUM = 16
"""A prefix reaches a mass if what is missing is below this many roundings of the next token."""

AT_A_THRESHOLD = 4
"""A token reaches a probability if what is missing is below this many roundings of its own."""
