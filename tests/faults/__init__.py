"""Faults in mid-rush: processes killed, connections cut, disks full, clients gone; and what must hold afterwards.

Small in the tests of this folder, long by hand: ``python -m tests.faults --kills 200`` (docs/reliability.md).
"""
