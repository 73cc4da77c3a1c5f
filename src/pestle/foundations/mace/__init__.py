"""Run MACE networks (arXiv:2206.07697), and read and write mace-torch's files."""
