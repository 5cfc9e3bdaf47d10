"""Pure decisions: amounts, calendar, grants, leases, reservations, prices.

Nothing here reads a clock, draws a random number, waits or does I/O. Time and ids come in as arguments; decisions come out
as values. So every rule of the product can be tested by calling a function.
"""
