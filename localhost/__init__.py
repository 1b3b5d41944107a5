"""A local function host, honest about what it mirrors."""
