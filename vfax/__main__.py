"""`python -m vfax` is the vfax command."""

from vfax.cli import main

main()
