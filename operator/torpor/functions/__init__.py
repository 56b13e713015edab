"""Functions: from the custom resource to children and status, and the autoscaler's loop."""
