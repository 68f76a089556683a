"""`python -m defender_devops.cli` runs the command line."""

from defender_devops.cli.main import main

if __name__ == "__main__":
    main()
