"""The faults, one function each. A fault begins while the load plays, and its function returns when the fault is over."""

from . import brokers, database, events, gateway, model, nothing, processes, table
from .table import Fault, Scene

#: In this order they are played.
GROUPS = ("load", "process", "broker", "database", "provider", "model", "disk", "event")
FAULTS = dict(sorted(table.FAULTS.items(), key=lambda item: GROUPS.index(item[1].group)))

__all__ = ["FAULTS", "Fault", "Scene", "brokers", "database", "events", "gateway", "model", "nothing", "processes"]
