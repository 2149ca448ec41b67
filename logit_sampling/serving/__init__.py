"""Texts for those who do not write Python: a server, and jobs over files.

`asked` reads a request, in the names of the OpenAI API, of others and of `generate`; `answers` says
what came of it. The server and the jobs are what carries both.
"""
