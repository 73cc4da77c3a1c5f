"""What the commands do: one file per job, and the preparation and plan of a fine-tuning run."""
