"""Expressions that users write, wherever they may: compiled once, bounded, and pure."""
