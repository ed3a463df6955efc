"""A latency model calibrated on this machine."""
