"""Only known messages of known libraries count as a lack of memory."""

import cv2
import numpy as np
import pytest

from oldfilm.system.memory import available_memory, is_out_of_memory

ONNX_RUNTIME = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running "
    "Expand node. Name:'' Status Message: std::bad_alloc"
)
ONNX_RUNTIME_ARENA = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Expand node. "
    "bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, "
    "onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 17179869184"
)
PADDLE = "(ResourceExhausted) Fail to alloc memory of 4398046511104 size, error code is 12."
PADDLE_GPU = "ResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot allocate 4.0GB"
CUDA = "(External) CUDA error(2), out of memory."
OPENCV = (
    "OpenCV(4.14.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate "
    "10800000000 bytes in function 'OutOfMemoryError'"
)


@pytest.mark.parametrize(
    "message", [ONNX_RUNTIME, ONNX_RUNTIME_ARENA, PADDLE, PADDLE_GPU, CUDA, OPENCV]
)
def test_messages_of_libraries_that_ran_out_of_memory_are_recognized(message):
    assert is_out_of_memory(RuntimeError(message))


def test_a_memory_error_is_recognized():
    with pytest.raises(MemoryError) as error:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(error.value)


@pytest.mark.parametrize(
    "message",
    [
        "cannot allocate a color to this frame",
        "reallocation of reference frames failed",
        "Invalid argument in alloc.cpp",
        "a shallow copy",
    ],
)
def test_messages_that_only_mention_an_allocation_are_not_recognized(message):
    assert not is_out_of_memory(RuntimeError(message))


def test_another_error_of_opencv_is_not_recognized():
    with pytest.raises(cv2.error) as error:
        cv2.resize(np.zeros((2, 2)), (0, 0))
    assert not is_out_of_memory(error.value)


def test_available_memory_is_positive_or_unknown():
    available = available_memory()
    assert available is None or available > 0
