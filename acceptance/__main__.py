"""`python -m acceptance`."""

from __future__ import annotations

import sys

from acceptance.command import main

if __name__ == "__main__":
    sys.exit(main())
