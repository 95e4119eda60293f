"""Local: the whole mesh on one machine, and the command line."""
