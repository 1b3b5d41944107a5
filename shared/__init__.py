"""The archive, below its triggers."""
