"""Results of all stages on a tiny corpus, beside their versions; `python -m tests.golden` renews them.

A result that differs from the stored one must go with a raised version, or finished work of users would not be made
again where it has to be; a raised version without another result would make it again for nothing.
"""
