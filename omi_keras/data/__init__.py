"""Datasets on disk, folds that keep patients together, balanced batches."""
