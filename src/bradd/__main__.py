"""`python -m bradd`."""

from __future__ import annotations

import sys

from bradd.cli import main

sys.exit(main())
