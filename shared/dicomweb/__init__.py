"""PS3.18 as pure functions: bytes in, values out, no I/O."""
