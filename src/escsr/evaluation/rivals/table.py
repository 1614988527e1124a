"""Which rivals there are, where their definitions come from and what the paper prints of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from escsr.errors import ConfigError
from escsr.runtime.extras import install_line

__all__ = ["RIVALS", "Rival", "Source", "rival_named"]

Source = Literal["escsr", "spandrel", "spandrel_extra_arches"]
"""A definition of our own, or the package that has one."""

_SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Rival:
    """One of the systems that the paper compares with.

    Attributes:
        name: As the paper prints it.
        source: Whose definition is run.
        paper_parameters: By scale: thousands of parameters, as the paper prints them.
        paper_macs_g: By scale: 10⁹ multiply-accumulates for an output of 1280×720, which the paper
            prints as "#FLOPs".
        lte: Whether it is also an encoder of Tables 5 and 6, with an LTE upsampler.
        scales: The scales that it has.
    """

    name: str
    source: Source
    paper_parameters: Mapping[int, int | None]
    paper_macs_g: Mapping[int, float | None]
    lte: bool = False
    scales: tuple[int, ...] = _SCALES

    @property
    def reason(self) -> str:
        """Why it cannot run here, and the line that changes it; "" where it can."""
        if self.source == "escsr" or find_spec(self.source) is not None:
            return ""
        if self.source == "spandrel":
            return f"{self.name} requires spandrel: {install_line('spandrel')}"
        return (
            f"{self.name} requires spandrel_extra_arches, whose licence (CC BY-NC 4.0) forbids commercial "
            "use, so it is no extra of escsr: pip install spandrel_extra_arches"
        )


def _printed(two: float, three: float, four: float) -> dict[int, float | None]:
    return {2: two, 3: three, 4: four}


def _thousands(two: int, three: int, four: int) -> dict[int, int | None]:
    return {2: two, 3: three, 4: four}


RIVALS: Mapping[str, Rival] = {
    "rdn": Rival(
        "RDN", "escsr", _thousands(22123, 22308, 22271), _printed(5096.2, 2281.2, 1309.2), lte=True
    ),
    "rcan": Rival("RCAN", "spandrel", _thousands(15445, 15629, 15592), _printed(3529.7, 1586.1, 917.6)),
    "swinir-lt": Rival("SwinIR-lt", "spandrel", _thousands(910, 918, 930), _printed(244.2, 110.8, 63.6)),
    "elan-lt": Rival("ELAN-lt", "escsr", _thousands(621, 629, 640), _printed(203.1, 90.1, 54.1)),
    "omnisr": Rival("OmniSR", "spandrel", _thousands(772, 780, 792), _printed(194.5, 88.4, 50.9)),
    "srformer-lt": Rival(
        "SRFormer-lt", "spandrel_extra_arches", _thousands(853, 861, 873), _printed(236.3, 105.4, 62.8)
    ),
    "atd-lt": Rival(
        "ATD-lt", "spandrel", _thousands(753, 760, 769), _printed(380.0, 168.0, 100.1), lte=True
    ),
    "hit-srf": Rival("HiT-SRF", "escsr", _thousands(847, 855, 866), _printed(226.5, 101.6, 58.0), lte=True),
    "asid-d8": Rival("ASID-D8", "escsr", _thousands(732, 739, 748), _printed(190.5, 86.4, 49.6)),
    "mambair-lt": Rival("MambaIR-lt", "escsr", _thousands(905, 913, 924), _printed(334.2, 148.5, 84.6)),
    "mambairv2-lt": Rival("MambaIRV2-lt", "escsr", _thousands(774, 781, 790), _printed(286.3, 126.7, 75.6)),
}
"""By the name that commands take, in lower case."""


def rival_named(name: str) -> Rival:
    """A rival by its name, in capitals or not.

    Raises:
        ConfigError: There is none of this name.

    Example:
        >>> rival_named("SwinIR-lt").source
        'spandrel'
    """
    rival = RIVALS.get(name.strip().lower())
    if rival is None:
        raise ConfigError(f"There is no rival {name!r}; there are {', '.join(RIVALS)}.")
    return rival
