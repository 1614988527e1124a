"""What happens inside a network, and what its results depend on: CKA, LAM, receptive field, features.

Models are observed from outside, by hooks and gradients; no network is changed for it.
"""

from escsr.analysis.analyses import analyse_cka, analyse_erf, analyse_features, analyse_lam

__all__ = ["analyse_cka", "analyse_erf", "analyse_features", "analyse_lam"]
