"""Texts for those who do not write Python: a server, jobs over files, and the playground.

`asked` reads a request, in the names of the OpenAI API, of others and of `generate`; `answers` says
what came of it. The server (`app`) and the jobs (`lines`, `job`) are what carries both. The page of
the playground (`page`) asks `play`, which answers from `explain`.
"""
