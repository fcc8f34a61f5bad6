"""`python -m lab_services.command`: the `lab` command where its script is not on PATH."""

from lab_services.command import main

main()
