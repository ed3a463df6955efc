"""The exact search of a design space."""
