"""Completion of command lines, for each shell a script made from the parsers themselves."""
