"""What the service tells of itself, without PHI: log records, metrics, traces."""
