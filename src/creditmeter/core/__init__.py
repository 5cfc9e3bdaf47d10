"""Pure decisions: amounts, calendar, grants, leases, reservations, prices.

Nothing here reads a clock, draws a random number, waits or does I/O. Time and ids come in as arguments, and decisions come out
as values. So a test of any rule is a call of a function.
"""
