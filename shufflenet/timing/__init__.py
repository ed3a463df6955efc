"""Time on this machine: runtimes, honest timings of them, layers against a roofline, and a model."""
