"""Units of the labels: evidence, a verdict for each property, and one line for each verdict."""
