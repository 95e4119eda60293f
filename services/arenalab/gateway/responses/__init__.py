"""POST /v1/responses: the same answers as a chat request's, in the newer form."""
