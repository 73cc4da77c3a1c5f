"""`pestle finetune`, in the order of a run."""
