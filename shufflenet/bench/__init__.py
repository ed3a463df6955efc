"""Time on this machine: runtimes, timings of them, layers against a roofline, and a model."""
