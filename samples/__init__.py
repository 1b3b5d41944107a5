"""Open sample data, and the script that makes it."""
