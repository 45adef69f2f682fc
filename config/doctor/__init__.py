"""`manage.py doctor`: everything an installation stands on is looked at, and each problem comes with what to do about it.

A check is a function that yields findings (`findings.Finding`); it has a module of its own and a line in `checkup.CHECKS`,
and need not catch what goes wrong with PostgreSQL or in its own code. It changes nothing.
"""
