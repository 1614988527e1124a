from spandrel.architectures.ESC import ESC, ESCArch

from .util import (
    ModelFile,
    TestImage,
    assert_image_inference,
    assert_loads_correctly,
    assert_size_requirements,
    disallowed_props,
    skip_if_unchanged,
)

skip_if_unchanged(__file__)

RELEASE = "https://github.com/dslisleedh/ESC/releases/download/1.0.0"


def test_load():
    assert_loads_correctly(
        ESCArch(),
        lambda: ESC(),
        lambda: ESC(n_blocks=3, upscaling_factor=2),
        lambda: ESC(n_blocks=2, conv_blocks=3, upscaling_factor=3),
        lambda: ESC(dim=32, pdim=8, num_heads=2, window_size=16, n_blocks=1),
        lambda: ESC(kernel_size=9, n_blocks=1),
        lambda: ESC(first_ratio=1.5, ratio=2.0, n_blocks=1),
        lambda: ESC(use_ln=True, n_blocks=1),
        lambda: ESC(bias_rank=48, n_blocks=1),
        lambda: ESC(
            window_size=64,
            first_ratio=4.0,
            bias_rank=16,
            rib_hidden_dim=32,
            n_blocks=1,
        ),
        lambda: ESC(
            dim=48,
            num_heads=3,
            first_ratio=1.5,
            use_ln=True,
            last_ln=True,
            decomposed=True,
            n_blocks=1,
            upscaling_factor=2,
        ),
        lambda: ESC(n_blocks=2, ratio=2.0, use_ln=True, real=True),
    )


def test_size_requirements():
    file = ModelFile.from_url(f"{RELEASE}/ESC_light_X2.pth")
    assert_size_requirements(file.load_model())


def test_ESC_light_x4(snapshot):  # noqa: N802
    file = ModelFile.from_url(f"{RELEASE}/ESC_light_X4.pth")
    model = file.load_model()
    assert model == snapshot(exclude=disallowed_props)
    assert isinstance(model.model, ESC)
    assert_image_inference(
        file, model, [TestImage.SR_16, TestImage.SR_32, TestImage.SR_64]
    )


def test_ESC_FP_x2(snapshot):  # noqa: N802
    file = ModelFile.from_url(f"{RELEASE}/ESC_FP_X2.pth")
    model = file.load_model()
    assert model == snapshot(exclude=disallowed_props)
    assert isinstance(model.model, ESC)
    assert_image_inference(
        file, model, [TestImage.SR_16, TestImage.SR_32, TestImage.SR_64]
    )


def test_ESC_Real_x4(snapshot):  # noqa: N802
    file = ModelFile.from_url(f"{RELEASE}/ESC_Real_X4_GAN.pth")
    model = file.load_model()
    assert model == snapshot(exclude=disallowed_props)
    assert isinstance(model.model, ESC)
    assert_image_inference(
        file, model, [TestImage.SR_16, TestImage.SR_32, TestImage.SR_64]
    )
