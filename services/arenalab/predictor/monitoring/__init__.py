"""Whether a bound still holds: running tests on labels, and the labels that feed them."""
