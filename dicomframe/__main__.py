"""``python -m dicomframe``."""

import sys

from dicomframe.cli import main

sys.exit(main())
