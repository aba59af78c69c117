"""Grafana's dashboards as code: `python -m deploy.grafana` writes `dashboards/*.json` anew.

What a panel asks and why stands in `overview`, `worker`, `models` and `business`, one entry each;
how Grafana spells it is in `panel` and `board` alone. `docs/dashboards.md` is the page on it.
"""
