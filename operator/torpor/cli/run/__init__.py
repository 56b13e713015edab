"""`torpor run`: the runs of Job Functions, in the cluster or in `torpor dev`."""
