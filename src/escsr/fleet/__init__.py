"""Fleets: millions of pictures on many machines, by Ray.

`plan` says what is to be done, from `inputs` less `outcomes`; `worker` upscales units of it and reports to
the one `ledger`, which writes outcomes; `stores` are file systems by URI. `cluster` alone knows Ray, and
`run` is the whole.
"""

from __future__ import annotations

from escsr.fleet.progress import Progress, Summary
from escsr.fleet.run import upscale

__all__ = ["Progress", "Summary", "upscale"]
