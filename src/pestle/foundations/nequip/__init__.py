"""Run NequIP-type networks (arXiv:2101.03164) in the form of the published Nequix models."""
