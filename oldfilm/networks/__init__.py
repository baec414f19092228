"""Networks: `paddle.nn.Layer`s, one file a model. Tensors in, tensors out; no files, no numpy."""
