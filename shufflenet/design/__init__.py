"""Rooms that are about to move."""
