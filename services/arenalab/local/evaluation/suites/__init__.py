"""The suites: public data sets read where they lie, and files of one's own."""
