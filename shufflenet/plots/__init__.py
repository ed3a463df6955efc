"""Pictures of costs, frontiers and rooflines."""
