"""Design spaces written out as tables, row by row."""
