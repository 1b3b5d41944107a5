"""What the Bicep templates deploy, worked out from their text alone."""
