"""Calls that nobody waits for: taken at the gateway, and handed over to the events role."""
