"""`python -m logit_sampling` is the command `logit-sampling`."""

from logit_sampling.cli import main

main()
