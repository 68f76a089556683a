"""Answers from a recording that the acceptance kit made of a real tenant (docs/acceptance.md)."""
