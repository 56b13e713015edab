"""Typed, frozen views of Torpor's kinds, and the names and labels that all rooms share. Pure."""
