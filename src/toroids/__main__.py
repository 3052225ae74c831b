"""The shell command where it is not on the path: `python -m toroids`."""

from toroids_shell import main

if __name__ == "__main__":
    main()
