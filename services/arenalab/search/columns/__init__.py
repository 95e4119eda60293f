"""The fields of spans, one array a field."""
