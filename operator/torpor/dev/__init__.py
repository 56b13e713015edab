"""`torpor dev`: gateway, autoscaler and local processes in one program, without a cluster."""
