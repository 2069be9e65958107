"""Labels and probabilities → the paper's tables, figures and confidence intervals. Takes arrays only."""
