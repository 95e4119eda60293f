"""Coverage and risk on labelled questions: in process (`harness`), or through the mesh (`mesh`)."""
