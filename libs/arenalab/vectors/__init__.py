"""What more than one service needs to work with vectors: the faiss library, set up."""

from arenalab.vectors.faiss_library import BLAS_WORK, faiss_on_one_thread, load_faiss

__all__ = ["BLAS_WORK", "faiss_on_one_thread", "load_faiss"]
