"""What others wrote, as objects of Torpor: one package for each format."""
