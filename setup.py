"""Packages oldfilm, with the configs and the lite weights that stand at the checkout's top."""

from pathlib import Path

from setuptools import find_packages, setup

TOP = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (TOP / "oldfilm" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)
CPU_ENGINE = [
    "onnxruntime>=1.16",
    # No wheel for Python 3.13: Paddle's own graph runs there.
    "paddle2onnx>=1.3.1; python_version < '3.13'",
    # paddle2onnx 1.3.1 does not bring it.
    "onnx>=1.13; python_version < '3.13'",
]

setup(
    name="oldfilm",
    version=VERSION,
    description="Restores old films and photographs with PaddlePaddle",
    long_description=(TOP / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9",
    packages=[
        *find_packages(include=["oldfilm", "oldfilm.*"]),
        "oldfilm._data.configs",
        "oldfilm._data.configs.presets",
        "oldfilm._data.configs.train",
        "oldfilm._data.weights",
    ],
    package_dir={
        "oldfilm._data.configs": "configs",
        "oldfilm._data.configs.presets": "configs/presets",
        "oldfilm._data.configs.train": "configs/train",
        "oldfilm._data.weights": "weights",
    },
    package_data={
        "oldfilm._data.configs": ["*.yaml"],
        "oldfilm._data.configs.presets": ["*.yaml"],
        "oldfilm._data.configs.train": ["*.yaml"],
        "oldfilm._data.weights": ["*.safetensors", "*.md"],
    },
    install_requires=[
        # 19 takes no `metadata_errors`: a film with broken texts in its header could not be opened.
        "av>=12,<19",
        "imageio>=2.28",
        "imageio-ffmpeg>=0.5",
        "numpy>=1.22",
        # 5 leaves out what later stages need; scenedetect would bring it in.
        "opencv-python>=4.6,<5",
        "pillow>=9.1",
        "pyyaml>=5.4",
        "safetensors>=0.4",
        "scenedetect>=0.6.2",
        "tqdm>=4.60",
    ],
    extras_require={
        "cpu": ["paddlepaddle>=2.6.2", *CPU_ENGINE],
        "gpu": ["paddlepaddle-gpu>=2.6.2"],
        "convert": ["torch>=2.5"],
        # For --engine ray. Tasks that tell of their progress: generators that ray.wait takes.
        "ray": ["ray>=2.10"],
        "test": [
            "hypothesis>=6",
            "mypy>=1.8",
            "psutil>=5",
            "pytest>=7",
            "ruff>=0.6",
            "scikit-image>=0.19",
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "oldfilm=oldfilm.cli.enhance:main",
            "oldfilm-photo=oldfilm.cli.photo:main",
            "oldfilm-weights=oldfilm.cli.weights:main",
            "oldfilm-evaluate=oldfilm.cli.evaluate:main",
        ]
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Video",
    ],
)
