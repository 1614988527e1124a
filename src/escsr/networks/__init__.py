"""The networks of the family; they know torch and nothing else of this package but its errors."""

from escsr.networks.config import VARIANTS, NetworkConfig, variant_config, variant_name
from escsr.networks.esc import ESC

__all__ = ["ESC", "VARIANTS", "NetworkConfig", "variant_config", "variant_name"]
