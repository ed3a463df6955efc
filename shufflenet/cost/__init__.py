"""Counted and priced networks, as records and tables, and predicted latency."""
