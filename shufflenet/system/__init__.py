"""What is not ours: code of the user's, packages that may be absent, files on a disk."""
