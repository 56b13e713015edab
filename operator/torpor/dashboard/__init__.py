"""One picture of everything: a page, and the server that feeds it with snapshots as JSON.

What it shows comes through `sources.Sources`, which `torpor dev` answers from its session and the
role on a cluster from the other roles' APIs. Nothing is asked for while nobody looks.
"""
