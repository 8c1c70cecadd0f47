"""The command `streamrnn`, as `python -m streamrnn`."""

import sys

from streamrnn.cli import main

sys.exit(main())
