"""What programs import from `ppgan.utils`, with oldfilm's decoder, encoder and downloads."""
