"""Programs that restore films and look for the results where PaddleGAN leaves them."""

import pytest

RESULTS = {
    "DeOldify": ("DeOldify/film/film_deoldify_out.mp4", "DeOldify/film/frames_pred/%08d.png"),
    "PPMSVSR": ("PPMSVSR/film_PPMSVSR_out.mp4", "PPMSVSR/film/frames_pred/%08d.png"),
    "DAIN": ("DAIN/videos-output/film.mp4", "DAIN/frames-combined/film/%08d.png"),
    "RealSR": ("RealSR/film/film_realsr_out.mp4", "RealSR/film/frames_pred/%08d.png"),
    "EDVR": ("EDVR/film_edvr_out.mp4", "EDVR/film/frames_pred/%08d.png"),
    "BasicVSR": ("BasiVSR/film_BasiVSR_out.mp4", "BasiVSR/film/frames_pred/%08d.png"),
    "BasiVSRPlusPlus": (
        "BasiVSR_PP/film_BasiVSR_PP_out.mp4",
        "BasiVSR_PP/film/frames_pred/%08d.png",
    ),
    "DeepRemaster": ("DeepRemaster/film_out.mp4", "DeepRemaster/output/"),
}


@pytest.mark.parametrize(
    ("names", "count"), [(["DeOldify", "PPMSVSR", "DAIN"], 5), (list(RESULTS)[3:], 2)]
)
def test_run_gives_frames_and_film_where_paddlegan_leaves_them(run, names, count):
    seconds = count / 16
    expected = {name: RESULTS[name] for name in names}
    run(f"""
        import os
        from ppgan import apps
        for name, (film, frames) in {expected}.items():
            options = {{"mindim": 48}} if name == "DeepRemaster" else {{}}
            predictor = getattr(apps, f"{{name}}Predictor")("results", **options)
            found = predictor.run("film.mp4", duration={seconds})
            assert found == (f"results/{{frames}}", f"results/{{film}}"), name
            assert os.path.isfile(f"results/{{film}}")
            count = 2 * {count} if name == "DAIN" else {count}
            digits = 7 if name == "DeepRemaster" else 8
            files = sorted(os.listdir(os.path.dirname(f"results/{{frames}}")))
            assert files == [f"{{n:0{{digits}}d}}.png" for n in range(count)], files
    """)


def test_paddlegans_video_enhance_runs_stage_by_stage(run):
    run("""
        import os
        import paddle
        from ppgan.apps import DAINPredictor, DeOldifyPredictor, PPMSVSRPredictor
        path = "film.mp4"
        paddle.enable_static()
        frames, path = DAINPredictor("out", weight_path=None, time_step=0.5,
                                     remove_duplicates=False).run(path)
        paddle.disable_static()
        frames, path = DeOldifyPredictor("out", weight_path=None, artistic=False,
                                         render_factor=4).run(path)
        frames, path = PPMSVSRPredictor("out", weight_path=None, num_frames=10).run(path)
        assert path == "out/PPMSVSR/film_deoldify_out_PPMSVSR_out.mp4", path
        assert len(os.listdir(os.path.dirname(frames))) == 10
    """)


def test_a_name_ends_at_its_first_dot_and_a_second_film_replaces_the_first(run, tmp_path):
    (tmp_path / "film.mp4").rename(tmp_path / "film.part1.mp4")
    run("""
        import os, shutil
        from ppgan.apps import DeOldifyPredictor
        deoldify = DeOldifyPredictor(render_factor=2)
        shutil.copy("film.part1.mp4", "film.part2.mp4")
        frames, film = deoldify.run_video("film.part1.mp4", duration=0.25)
        assert film == "output/DeOldify/film/film_deoldify_out.mp4"
        assert len(os.listdir(os.path.dirname(frames))) == 4
        frames, again = deoldify.run("film.part2.mp4", save_frames=False)
        assert again == film and frames is None
    """)


def test_a_job_that_was_stopped_and_changed_starts_over(run):
    run("""
        from ppgan.apps import DeOldifyPredictor
        def stop(progress):
            if progress.part == "Restoring" and progress.done == 3:
                raise KeyboardInterrupt
        try:
            DeOldifyPredictor(render_factor=2).run("film.mp4", progress=stop, segment_frames=1)
        except KeyboardInterrupt:
            pass
        frames, film = DeOldifyPredictor(render_factor=3).run("film.mp4")
        import imageio
        assert len(list(imageio.mimread(film, "ffmpeg"))) == 5
    """)


def test_arguments_of_all_versions_of_paddlegan(run):
    run("""
        from ppgan.apps import DAINPredictor, DeOldifyPredictor, EDVRPredictor, PPMSVSRPredictor
        assert DeOldifyPredictor(output_path="a").output == "a/DeOldify"
        assert DeOldifyPredictor("a", None, True, 7).render_factor == 7
        older = DeOldifyPredictor("a", None, 7)
        assert (older.render_factor, older.artistic) == (7, False)
        assert DAINPredictor(output_path="a", key_frame_thread=0, time_step=0.25).time_step == 1 / 4
        assert DAINPredictor("a", None, 0.5, True, True).remove_duplicates is True
        older = DAINPredictor("a", None, 0.5, True, 0., True)
        assert older.remove_duplicates is True
        assert DAINPredictor("a", None, 0.5, True, 0.).remove_duplicates is False
        assert PPMSVSRPredictor("a", None, 4).num_frames == 4
        assert EDVRPredictor("a", None, 2).bs == 2
        import pickle
        assert pickle.loads(pickle.dumps(older)).remove_duplicates is True
    """)


def test_a_notebook_reads_and_shows_the_result(run):
    run("""
        import imageio
        import numpy as np
        from ppgan.apps import DAINPredictor
        DAINPredictor(output="output", time_step=0.5).run("film.mp4")
        film = imageio.mimread("output/DAIN/videos-output/film.mp4", "ffmpeg", memtest=False)
        assert len(film) == 10 and film[0].shape == (48, 64, 3)
    """)


def test_a_slow_motion_program_on_the_base_class(run):
    run("""
        import glob, os
        import numpy as np
        import paddle
        from imageio import imread, imwrite
        from ppgan.apps.base_predictor import BasePredictor
        from ppgan.utils.video import frames2video, video2frames

        class Mean(paddle.nn.Layer):
            def __init__(self):
                super().__init__()
                half = paddle.nn.initializer.Constant(0.5)
                self.share = self.create_parameter([1], default_initializer=half)

            def forward(self, frames):
                return self.share * (frames[:1] + frames[1:])

        shape = paddle.static.InputSpec([2, 1, 3, None, None], "float32", name="frames")
        paddle.jit.save(Mean(), "DAIN_weight/inference", input_spec=[shape])
        for file in os.listdir("DAIN_weight"):
            name = "params" if "param" in file else "model" + os.path.splitext(file)[1]
            os.rename(f"DAIN_weight/{file}", f"DAIN_weight/{name}")
        paddle.enable_static()

        class SlowMotion(BasePredictor):
            def __init__(self, weight_path):
                self.weight_path = weight_path
                self.build_inference_model()

            def run(self, path):
                folder = video2frames(path, "in")
                files = sorted(glob.glob(os.path.join(folder, "*.png")))
                os.makedirs("both", exist_ok=True)
                for number, (first, second) in enumerate(zip(files, files[1:])):
                    pair = np.stack([imread(file) for file in (first, second)]) / np.float32(255)
                    made = self.base_forward(pair.transpose(0, 3, 1, 2)[:, None])[0][0, 0]
                    imwrite(f"both/{2 * number:08d}.png", imread(first))
                    middle = np.round(255 * made.transpose(1, 2, 0)).astype(np.uint8)
                    imwrite(f"both/{2 * number + 1:08d}.png", middle)
                frames2video("both/%08d.png", "slow.mp4", "16")

        SlowMotion("DAIN_weight").run("film.mp4")
        assert sorted(os.listdir("in/film"))[0] == "00000000.png"
        import imageio
        assert len(imageio.mimread("slow.mp4", "ffmpeg")) == 8
    """)
