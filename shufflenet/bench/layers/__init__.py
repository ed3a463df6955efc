"""Layers timed one by one, beside a roofline."""
