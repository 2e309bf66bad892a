"""Evaluation of frozen features: features in, accuracies out."""
