"""Runs of Job Functions: the Jobs that they are, how they are told of, who makes and ends them."""
