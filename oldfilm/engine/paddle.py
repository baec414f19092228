"""Run a network with Paddle's dynamic graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oldfilm.engine.device import Device, enable_dynamic_mode, import_paddle

if TYPE_CHECKING:
    import paddle


class DynamicGraph:
    """A network on Paddle's dynamic graph, without gradients, callable on numpy arrays."""

    def __init__(self, network: paddle.nn.Layer, device: Device) -> None:
        self._paddle = import_paddle()
        self._paddle.set_device(device)
        self._network = network
        network.eval()

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the network on float32 arrays; return one array per output.

        Raises:
            MemoryError: Paddle cannot allocate memory.
        """
        enable_dynamic_mode(self._paddle)
        with self._paddle.no_grad():
            outputs = self._network(*[self._paddle.to_tensor(array) for array in arrays])
        if not isinstance(outputs, (tuple, list)):
            outputs = (outputs,)
        return tuple(output.numpy() for output in outputs)
