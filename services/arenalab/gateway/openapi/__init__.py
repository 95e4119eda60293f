"""The description of the HTTP endpoints: OpenAPI 3.1, and a page that shows it.

It is written in code, beside the code that reads requests and with the same constants.
"""
