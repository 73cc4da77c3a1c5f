"""`python -m pestle`."""

from pestle.cli import main

main()
