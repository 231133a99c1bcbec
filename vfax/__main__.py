"""The vfax command, as a script and as `python -m vfax`.

Owns      Ctrl-C while Python still imports: an end without a word, as at any other moment. Not here: commands (cli/).
"""

import sys


def main() -> None:
    """Entry point of the console script."""
    try:
        from vfax.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # cli/exits.py, which may not be there yet


if __name__ == "__main__":
    main()
