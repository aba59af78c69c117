"""`python -m alcyon.cli`: the same as `alcyon`."""

import sys

from alcyon.cli import main

sys.exit(main())
