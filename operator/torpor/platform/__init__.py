"""What Torpor runs on: a Kubernetes cluster, or local processes."""
