"""Runs of Job Functions as local processes: what Kubernetes and the leader are to them."""
