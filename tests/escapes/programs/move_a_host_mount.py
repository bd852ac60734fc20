"""Move a mount of the host's to another place."""

from hostile import bait, hold, mount

MS_MOVE = 8192
mount(bait.source, bait.target, flags=MS_MOVE)
hold()
