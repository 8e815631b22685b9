"""The command `flwr`, which waits longer for the server that it starts: fifteen seconds are few on a busy machine.

Started by `test_engine.py` as `python patient.py run ...`.
"""

from __future__ import annotations

import sys

from flwr.cli import app

SECONDS = 600.0

try:
    from flwr.cli import local_superlink
except ImportError:
    pass  # older versions start none
else:
    local_superlink.LOCAL_SUPERLINK_STARTUP_TIMEOUT = SECONDS
    local_superlink.CONTROL_API_PROBE_TIMEOUT = 30.0

if __name__ == "__main__":
    sys.exit(app.app())
