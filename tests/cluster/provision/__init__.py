"""Provides the real Kubernetes cluster that the cluster tests run against.

Everything a kind cluster needs is built from Debian packages, Go modules and one wheel where no
image registry can be reached, so that a test run needs no more than the package registries.
"""
