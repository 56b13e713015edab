"""Runs of Job Functions: the door that takes and tells of them, and who keeps them."""
