import math

from spandrel.util import KeyCondition, get_seq_len
from typing_extensions import override

from ...__helpers.model_descriptor import (
    Architecture,
    ImageModelDescriptor,
    ModelTiling,
    StateDict,
)
from .__arch.esc import ESC


def _ratio(hidden: int, dim: int) -> float:
    """The quotient from which `int(dim * ratio)` is the hidden width again."""
    ratio = hidden / dim
    return ratio if int(dim * ratio) == hidden else math.nextafter(ratio, math.inf)


class ESCArch(Architecture[ESC]):
    def __init__(self) -> None:
        super().__init__(
            id="ESC",
            detect=KeyCondition.has_all(
                "proj.weight",
                "blocks.0.ln_proj.weight",
                "blocks.0.proj.dwc.weight",
                "blocks.0.attn.to_qkv.weight",
                "blocks.0.convffns.0.dwc.weight",
                "blocks.0.pconvs.0.aggr.weight",
                "blocks.0.conv_out.weight",
                KeyCondition.has_any("last.weight", "last.1.weight"),
                KeyCondition.has_any("plk_filter", "lk_spatial"),
                KeyCondition.has_any(
                    "to_img.weight", "to_img.1.weight", "upsampler.up_conv.weight"
                ),
            ),
        )

    @override
    def load(self, state_dict: StateDict) -> ImageModelDescriptor[ESC]:
        dim = state_dict["proj.weight"].shape[0]
        decomposed = "lk_spatial" in state_dict
        kernel = state_dict["lk_spatial" if decomposed else "plk_filter"]
        pdim, kernel_size = kernel.shape[0], kernel.shape[-1]

        n_blocks = get_seq_len(state_dict, "blocks")
        conv_blocks = get_seq_len(state_dict, "blocks.0.pconvs")
        first_ratio = _ratio(state_dict["blocks.0.proj.proj.weight"].shape[0], dim)
        ratio = _ratio(state_dict["blocks.0.convffns.0.proj.weight"].shape[0], dim)
        use_ln = "blocks.0.lns.0.weight" in state_dict
        last_ln = "ln_last.weight" in state_dict

        bias_rank: int | None = None
        rib_hidden_dim: int | None = None
        if "blocks.0.attn.flashbias_q" in state_dict:
            bias = state_dict["blocks.0.attn.flashbias_q"]
            num_heads, window_size = bias.shape[0], math.isqrt(bias.shape[1])
            bias_rank = bias.shape[2]
        elif "blocks.0.attn.to_q" in state_dict:
            num_heads, rib_hidden_dim, bias_rank = state_dict[
                "blocks.0.attn.to_q"
            ].shape
            window_size = 64  # no tensor depends on it
        else:
            bias = state_dict["blocks.0.attn.relative_position_bias"]
            num_heads, window_size = bias.shape[0], (math.isqrt(bias.shape[1]) + 1) // 2

        real = "to_img.1.weight" in state_dict
        if real:
            upscaling_factor = 4
        else:
            output = "to_img" if rib_hidden_dim is None else "upsampler.up_conv"
            upscaling_factor = math.isqrt(state_dict[f"{output}.weight"].shape[0] // 3)

        model = ESC(
            dim=dim,
            pdim=pdim,
            kernel_size=kernel_size,
            n_blocks=n_blocks,
            conv_blocks=conv_blocks,
            window_size=window_size,
            num_heads=num_heads,
            upscaling_factor=upscaling_factor,
            first_ratio=first_ratio,
            ratio=ratio,
            use_ln=use_ln,
            last_ln=last_ln,
            decomposed=decomposed,
            real=real,
            bias_rank=bias_rank,
            rib_hidden_dim=rib_hidden_dim,
        )

        return ImageModelDescriptor(
            model,
            state_dict,
            architecture=self,
            purpose="Restoration" if upscaling_factor == 1 else "SR",
            tags=[f"{dim}dim", f"{n_blocks}nb", *(["real"] if real else [])],
            # Weights can be trained whose features leave the range of fp16; their
            # shapes do not tell.
            supports_half=False,
            supports_bfloat16=True,
            scale=upscaling_factor,
            input_channels=3,
            output_channels=3,
            # Dynamic kernels are made from the mean over the whole image, so tiles
            # are not exact.
            tiling=ModelTiling.DISCOURAGED,
        )


__all__ = ["ESC", "ESCArch"]
