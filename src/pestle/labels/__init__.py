"""Pseudolabels with fingerprints, from a model or any ASE calculator; labelling can be resumed."""
