"""Programs that restore photographs, and servers that do so for others."""


def test_run_gives_the_image_and_its_path(run):
    run("""
        from pathlib import Path
        from PIL import Image
        from ppgan.apps import DeOldifyPredictor, RealSRPredictor
        picture, path = DeOldifyPredictor().run("old.jpeg")
        assert isinstance(picture, Image.Image) and picture.mode == "RGB"
        assert Path(path) == Path("output/DeOldify/old.png")
        Path("upload").write_bytes(Path("old.jpeg").read_bytes())
        assert DeOldifyPredictor().run("upload")[1] == "output/DeOldify/upload.png"
        picture, path = RealSRPredictor(output="mine").run("old.jpeg")
        assert picture.size == Image.open(path).size == (256, 192)
        assert Path(path) == Path("mine/RealSR/old.png")
    """)


def test_run_image_takes_paths_arrays_and_images(run):
    run("""
        import cv2
        import numpy as np
        from PIL import Image
        from ppgan.apps import DeOldifyPredictor, RealSRPredictor
        sr = RealSRPredictor()
        Image.open("old.jpeg").save("old.png")
        image = Image.open("old.png")
        expected = np.asarray(sr.run_image("old.png"))
        sr.run_image(image).save("sr.jpg")
        for given in (image, np.asarray(image), np.float32(image), np.asarray(image, int)):
            assert np.abs(np.asarray(sr.run_image(given)).astype(int) - expected).max() <= 1
        swapped = cv2.imread("old.png")  # blue, green, red is taken for red, green, blue
        assert sr.run_image(swapped) == sr.run_image(np.asarray(image)[..., ::-1])
        assert sr.run_image(swapped) != sr.run_image(image)
        colored = DeOldifyPredictor().run_image(np.float32(image.convert("L").crop((0, 0, 40, 30))))
        assert colored.mode == "RGB" and colored.size == (40, 30)
        for mode in ("L", "1", "P", "RGBA", "CMYK", "LA"):
            assert sr.run_image(image.convert(mode)).mode == "RGB"
        deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        close = np.asarray(sr.run_image(deep)).astype(int) - sr.run_image(image.convert("L"))
        assert np.abs(close).max() <= 1
        black = np.zeros((48, 64, 3), np.float32)
        fade = black + 1  # 1 of 255, not white
        assert np.abs(np.asarray(sr.run_image(fade)).astype(int).mean()
                      - np.asarray(sr.run_image(black)).astype(int).mean()) < 20
    """)


def test_a_server_that_saves_every_upload_under_one_name(run):
    run("""
        import numpy as np
        from PIL import Image
        from ppgan.apps import DeOldifyPredictor
        deoldify = DeOldifyPredictor()
        results = []
        for upload in (40, 200):
            Image.fromarray(np.full((48, 64, 3), upload, np.uint8)).save("old.png")
            _, path = deoldify.run("old.png")
            results.append(np.asarray(Image.open(path)).mean())
        assert results[1] - results[0] > 100
        picture, path = deoldify.run(np.asarray(Image.open("old.jpeg")))
        assert path.endswith("result.png") and Image.open(path).size == picture.size
        from oldfilm.errors import MediaError
        try:
            deoldify.run("old.png", overwrite=False)
            Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save("old.png")
            deoldify.run("old.png", overwrite=False)
        except MediaError as error:
            assert "overwrite=True" in str(error)
        else:
            raise AssertionError
    """)


def test_predict_takes_paths_images_and_arrays_and_refuses_other_floats(run):
    run("""
        import numpy as np
        from PIL import Image
        from oldfilm.errors import OptionError
        from ppgan.apps import DeOldifyPredictor
        deoldify = DeOldifyPredictor()
        image = Image.open("old.jpeg")
        expected = deoldify.predict(np.asarray(image))
        assert expected.dtype == np.uint8
        for given in ("old.jpeg", image):
            found = deoldify.predict(given)
            assert found.dtype == np.uint8
            assert np.abs(found.astype(int) - expected).max() <= 3  # two JPEG decoders
        floats = deoldify.predict(np.asarray(image) / np.float32(255))
        assert floats.dtype == np.float32
        assert np.abs(floats * 255 - expected).max() < 1
        for wrong in (np.float32(image), np.asarray(image) / 255 - 1, np.float32(image) * np.nan):
            try:
                deoldify.predict(wrong)
            except OptionError as error:
                assert "floats in [0, 1]" in str(error) and "\\n" not in str(error)
            else:
                raise AssertionError
    """)
