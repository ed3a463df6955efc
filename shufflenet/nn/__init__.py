"""Networks as PyTorch modules: built, folded, initialised and confirmed."""
