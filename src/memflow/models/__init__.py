"""Architectures, one file each; `memflow.registry` lists them."""
