"""Networks as rows of data: read, written, scaled, and laid out as layer trees."""
