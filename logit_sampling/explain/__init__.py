"""What each stage of a chain did to a distribution: as data, as a table and as a picture."""

from logit_sampling.explain.trace import (
    Decode,
    Explanation,
    Stage,
    Token,
    check_arguments,
    explain_rows,
    name_of,
)

__all__ = ["Decode", "Explanation", "Stage", "Token", "check_arguments", "explain_rows", "name_of"]
