"""What searching costs on this machine."""
