"""What a command is asked to count, and the boundary to the user's own code."""
