"""What all tests share."""

from __future__ import annotations

import signal

# A shell without job control starts background commands with Ctrl-C ignored, and their children
# inherit that; tests of Ctrl-C need it as a person at a terminal has it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.servers", "tests.kafka", "tests.mlflow"]
