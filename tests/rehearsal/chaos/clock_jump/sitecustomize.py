"""On a process's PYTHONPATH: its Python clock is `CHAOS_CLOCK_SECONDS` off; PostgreSQL's is not, nor is the monotonic one."""

import datetime
import os

import time_machine

_off = datetime.timedelta(seconds=float(os.environ["CHAOS_CLOCK_SECONDS"]))
time_machine.travel(datetime.datetime.now(datetime.UTC) + _off, tick=True).start()
