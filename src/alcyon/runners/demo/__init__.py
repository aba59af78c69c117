"""The demo: everything in one process, on simulated traffic whose truth is known.

Read in this order: `recipe` (what is simulated), `setup` (history, model, warmed state), `sessions`
and `traffic` (what comes, the same again after any restart), `sending`, `scoreboard`, `running`.
"""
