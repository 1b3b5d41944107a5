"""Each module hides exactly one system."""
