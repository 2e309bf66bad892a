"""Comparing arms (configurations of a run) at matched budgets, over paired seeds."""
