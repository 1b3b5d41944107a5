"""One transaction each, written against the ports."""
