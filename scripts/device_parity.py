"""Check on this machine that a bundle computes what its trained model computed.

    python scripts/device_parity.py BUNDLE [--threads 1] [--json]

The same code as the device_parity.py inside every bundle, for a checkout of the project.
"""

import sys

# The checkout instead of this folder, where Python looks first.
if not getattr(sys.flags, "safe_path", sys.flags.isolated):
    sys.path.pop(0)
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from edge.parity import main

if __name__ == "__main__":
    sys.exit(main())
