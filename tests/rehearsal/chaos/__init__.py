"""`script/chaos`: the invariants under faults, counted from what the fake providers saw."""
