"""What a server is made of: what it offers, to whom, and what its routes use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from escsr.web.jobs import Jobs
from escsr.web.limits import Limits
from escsr.web.metrics import Metrics
from escsr.web.offers import Offer

__all__ = ["Service", "WebOptions"]


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """What a server offers, and to whom.

    Attributes:
        models: See `list_offers`.
        devices: Where pictures are upscaled; each device has a worker.
        token: What clients must know; None for none.
        hosts: Names that clients may call the server by, beside addresses and localhost.
        only_loopback: Whether it is for this machine alone.
        limits: See `Limits`.
    """

    models: Sequence[str] = ()
    devices: Sequence[str] = ("auto",)
    token: str | None = None
    hosts: Sequence[str] = ()
    only_loopback: bool = True
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Service:
    """What the routes use.

    Attributes:
        options: As given.
        offers: Models by name, the default first.
        jobs: The queue.
        metrics: The figures.
        streams: Ids of the event streams that are open.
    """

    options: WebOptions
    offers: dict[str, Offer]
    jobs: Jobs
    metrics: Metrics
    streams: set[object] = field(default_factory=set)
