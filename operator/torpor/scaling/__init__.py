"""How many replicas a function should have, and why. Pure."""
