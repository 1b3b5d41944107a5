"""What is stored and how it is found, on the ports."""
