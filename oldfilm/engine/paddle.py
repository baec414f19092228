"""Run a network with Paddle's dynamic graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oldfilm.engine.device import Device, computing_on
from oldfilm.system.stopping import next_step

if TYPE_CHECKING:
    import paddle


class DynamicGraph:
    """A network on Paddle's dynamic graph, without gradients, callable on numpy arrays."""

    def __init__(self, network: paddle.nn.Layer, device: Device) -> None:
        self._device = device
        self._network = network
        with computing_on(device):
            network.to(device=device)
        network.eval()

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the network on float32 arrays; return one array per output.

        Raises:
            MemoryError: Paddle cannot allocate memory.
        """
        next_step()
        with computing_on(self._device) as paddle, paddle.no_grad():
            outputs = self._network(*[paddle.to_tensor(array) for array in arrays])
            if not isinstance(outputs, (tuple, list)):
                outputs = (outputs,)
            return tuple(output.numpy() for output in outputs)
