"""Units that labels are in: evidence, one verdict for each property, one line for each."""
