"""The job of `pestle finetune`."""
