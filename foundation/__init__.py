"""What every room of the house stands on: encryption at rest, leases, provider errors, HTTP, enqueueing.

It knows no other package of the project; every other package may use it.
"""
