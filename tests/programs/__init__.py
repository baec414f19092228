"""Programs that use PaddleGAN, with oldfilm in its place; each runs in a process of its own."""
