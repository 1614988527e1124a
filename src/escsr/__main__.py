"""`python -m escsr` is the command `escsr`."""

from escsr.cli import main

if __name__ == "__main__":
    main()
