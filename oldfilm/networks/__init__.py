"""Networks as `paddle.nn.Layer`s, one file per model: tensors in, tensors out."""
