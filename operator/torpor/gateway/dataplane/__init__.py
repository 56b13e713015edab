"""What carries requests to instances: HAProxy in a cluster, this process in `torpor dev`."""
