"""Time on this machine: networks and layers timed, their records, and a model calibrated."""
