"""Embedders: texts to unit vectors, behind one protocol."""

import os

# onnxruntime's wheel reports usage to its maker unless this is set before it is loaded.
# Nothing that a team asks may cause traffic that the team does not know of.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
