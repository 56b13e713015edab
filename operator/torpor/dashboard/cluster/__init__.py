"""The dashboard of a cluster: a role of its own, fed from the other roles' APIs."""
