"""Implementations of others, run through the cases: `pytest --pyargs lowrank_oracle.suites.peft`."""
