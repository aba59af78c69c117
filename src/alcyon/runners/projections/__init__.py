"""Projections: what follows the decisions log and fills a store, the read model, the cases."""
