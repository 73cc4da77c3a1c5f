"""Pseudolabels with fingerprints from a model or an ASE calculator; labelling can be resumed."""
