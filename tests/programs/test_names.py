"""The modules and names of `ppgan` that programs import."""

import pytest


def test_ppgan_is_oldfilm_after_one_line(run):
    run("""
        import ppgan, pickle
        assert ppgan.apps.DAINPredictor is oldfilm.apps.DAINPredictor
        from ppgan.apps import RealSRPredictor, DeOldifyPredictor
        from ppgan.apps.realsr_predictor import RealSRPredictor as Same
        from ppgan.apps.deoldify_predictor import DeOldifyPredictor
        from ppgan.apps.dain_predictor import DAINPredictor
        from ppgan.apps.edvr_predictor import EDVRPredictor
        from ppgan.apps.deepremaster_predictor import DeepRemasterPredictor
        from ppgan.apps.mpr_predictor import MPRPredictor
        from ppgan.apps.nafnet_predictor import NAFNetPredictor
        from ppgan.apps.swinir_predictor import SwinIRPredictor
        from ppgan.apps.invdn_predictor import InvDNPredictor
        from ppgan.apps.aotgan_predictor import AOTGANPredictor
        from ppgan.apps.gpen_predictor import GPENPredictor
        from ppgan.apps.midas_predictor import MiDaSPredictor
        from ppgan.apps.recurrent_vsr_predictor import (
            BasicVSRPredictor, IconVSRPredictor, BasiVSRPlusPlusPredictor,
            PPMSVSRPredictor, PPMSVSRLargePredictor,
        )
        from ppgan.apps.base_predictor import BasePredictor
        from ppgan.utils.video import video2frames, frames2video
        from ppgan.utils.download import get_path_from_url
        from ppgan.utils.logger import get_logger
        import oldfilm.apps.realsr_predictor
        assert Same is RealSRPredictor is oldfilm.apps.realsr_predictor.RealSRPredictor
        assert issubclass(RealSRPredictor, BasePredictor)
        assert pickle.loads(pickle.dumps(RealSRPredictor)) is RealSRPredictor
        assert sys.modules["ppgan.apps"] is oldfilm.apps
        assert "paddle" not in sys.modules
    """)


def test_a_star_imports_every_predictor(run):
    run("""
        from ppgan.apps import *
        MiDaSPredictor, MPRPredictor, GPENPredictor, DAINPredictor, BasePredictor
        assert "paddle" not in sys.modules
    """)


def test_import_oldfilm_as_ppgan(run):
    run(
        """
        import oldfilm as ppgan
        ppgan.apps.PPMSVSRPredictor
        from ppgan.apps.realsr_predictor import RealSRPredictor
        assert RealSRPredictor is ppgan.apps.RealSRPredictor
        """,
        named=False,
    )


def test_an_installed_ppgan_is_left_alone(run, tmp_path):
    (tmp_path / "ppgan").mkdir()
    (tmp_path / "ppgan" / "__init__.py").write_text("name = 'theirs'")
    (tmp_path / "ppgan" / "apps.py").write_text("name = 'their apps'")
    run(
        """
        import oldfilm, ppgan, ppgan.apps
        assert (ppgan.name, ppgan.apps.name) == ("theirs", "their apps")
        """,
        named=False,
    )


@pytest.mark.parametrize(
    ("name", "module", "sentence"),
    [
        ("FirstOrder", "first_order", "PaddleGAN's FirstOrder is not for restoration"),
        ("Wav2Lip", "wav2lip", "PaddleGAN's Wav2Lip is not for restoration"),
        ("Pixel2Style2Pixel", "pixel2style2pixel", "is not for restoration"),
        ("StyleGANv2Editing", "styleganv2editing", "is not for restoration"),
    ],
)
def test_what_oldfilm_does_not_have_says_so_in_one_sentence(name, module, sentence):
    import oldfilm.apps
    from oldfilm.errors import OldfilmError

    for statement, kind in (
        (f"from oldfilm.apps import {name}Predictor", ImportError),
        (f"from oldfilm.apps.{module}_predictor import {name}Predictor", ImportError),
        (f"oldfilm.apps.{name}Predictor", AttributeError),
    ):
        with pytest.raises(OldfilmError) as caught:
            exec(statement, {"oldfilm": oldfilm})
        message = str(caught.value)
        assert isinstance(caught.value, kind)
        assert sentence in message
        assert message.endswith(".")
        assert "\n" not in message
    assert not hasattr(oldfilm.apps, f"{name}Predictor")


def test_other_names_do_not_exist():
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from oldfilm.apps import NoSuchPredictor")
    with pytest.raises(ModuleNotFoundError):
        exec("import oldfilm.apps.no_such_predictor")
