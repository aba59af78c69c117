"""Explanation: why a decision is what it is, in facts and in words."""
