"""The paper's training protocol: one fold, cross-validation, the run folder, resuming."""
