"""`python -m defender_devops` runs the operator."""

from defender_devops.main import main

if __name__ == "__main__":
    main()
