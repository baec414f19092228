"""Programs that use the network of a predictor, choose its device, or use it from threads."""


def test_the_network_with_paddlegans_own_pre_and_post_processing(run):
    run("""
        import numpy as np
        import paddle
        from PIL import Image
        from ppgan.apps import DeOldifyPredictor, RealSRPredictor
        image = Image.open("old.jpeg")
        sr = RealSRPredictor()
        x = sr.norm(image)
        assert x.shape == (3, 48, 64) and x.dtype == np.float32
        with paddle.no_grad():
            out = sr.model(paddle.to_tensor(x[None]))
        large = sr.denorm(out.numpy()[0])
        assert isinstance(sr.model, paddle.nn.Layer)
        assert np.abs(large.astype(int) - np.asarray(sr.run_image(image))).max() <= 1

        deoldify = DeOldifyPredictor(render_factor=8)
        gray = image.convert("L").convert("RGB").resize((128, 128), Image.BILINEAR)
        x = deoldify.norm(gray, 8)
        assert x.shape == (3, 128, 128)
        out = deoldify.model(paddle.to_tensor(x[None]))
        found = deoldify.denorm(out.numpy()[0]).astype(int)
        restored = np.asarray(deoldify.run_image(gray))

        # The model colors what it sees; the predictor looks twice, and saturates differences.
        from oldfilm.apps.deoldify.lite import MEAN_SHARE, guided_upsampling, stretched_levels
        from oldfilm.imaging.color import with_luma
        def look(luma):
            seen = paddle.to_tensor(np.ascontiguousarray(luma)[None, None])
            return 110 * deoldify.model.network(seen)[0].numpy().transpose(1, 2, 0)
        def colored(chroma):
            return 255 * with_luma(luma, guided_upsampling(chroma, luma, luma))
        luma = np.asarray(gray, np.float32)[..., 0] / 255
        first, mirrored = look(luma), look(stretched_levels(luma)[:, ::-1])[:, ::-1]
        mean = deoldify.settings["saturation"] * (first + mirrored) / 2
        for ours, theirs in [
            (found, colored(first)),
            (restored, colored(mean - (1 - MEAN_SHARE) * mean.mean((0, 1)))),
        ]:
            difference = np.abs(ours - theirs).mean()
            assert difference < 2, difference
        for model in (sr.model, deoldify.model):
            spec = paddle.static.InputSpec([1, 3, None, None], "float32")
            paddle.jit.save(model, f"saved/{type(model).__name__}", input_spec=[spec])
            loaded = paddle.jit.load(f"saved/{type(model).__name__}")
            np.testing.assert_allclose(
                loaded(paddle.to_tensor(x[None])).numpy(),
                model(paddle.to_tensor(x[None])).numpy(), atol=1e-3)
    """)


def test_the_device_is_the_one_that_the_program_set(run):
    run("""
        import paddle
        paddle.set_device("cpu")
        from ppgan.apps import DeOldifyPredictor
        assert DeOldifyPredictor().device == "cpu"
        paddle.enable_static()
        picture = DeOldifyPredictor(render_factor=2).run_image("old.jpeg")
        assert picture.size == (64, 48)
        assert paddle.device.get_device() == "cpu"
    """)


def test_threads_share_a_predictor_a_film_and_a_photograph(run):
    run("""
        import os
        from concurrent.futures import ThreadPoolExecutor
        import numpy as np
        from PIL import Image
        from ppgan.apps import DAINPredictor, DeOldifyPredictor, RealSRPredictor
        deoldify, dain = DeOldifyPredictor(render_factor=2), DAINPredictor(time_step=0.5)
        sr = RealSRPredictor()
        Image.fromarray(np.full((40, 30), 90, np.uint8)).save("other.png")
        jobs = [lambda: deoldify.run("film.mp4", progress=False)] * 4
        jobs += [lambda: deoldify.run("old.jpeg")] * 8
        jobs += [lambda: deoldify.run("other.png")] * 4
        jobs += [lambda: dain.run("film.mp4", progress=False)] * 3
        jobs += [lambda: sr.run("old.jpeg")] * 4
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda job: job(), jobs))
        for first, path in results:
            assert os.path.isfile(path)
            if isinstance(first, str):
                assert len(os.listdir(os.path.dirname(first))) in (5, 10)
            else:
                assert Image.open(path).size == first.size
        left = [name for _, _, files in os.walk("output") for name in files if name[0] == "."]
        assert not left, left
    """)


def test_memory_levels_off_over_many_predictors(run):
    run("""
        import os
        import numpy as np
        from ppgan.apps import DeOldifyPredictor, RealSRPredictor
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
        if not os.path.exists("/proc/self/statm"):
            raise SystemExit
        used = []
        for _ in range(16):
            DeOldifyPredictor(render_factor=2).run_image("old.jpeg")
            RealSRPredictor().run_image("old.jpeg")
            used.append(resident())
        assert used[-1] - used[3] < 30, used
    """)
