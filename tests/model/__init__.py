"""Model tests of the write path."""
