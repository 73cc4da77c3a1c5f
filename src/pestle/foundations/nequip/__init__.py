"""NequIP-type networks (arXiv:2101.03164), as the Nequix foundation models publish them."""
