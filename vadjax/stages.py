"""What was here is a program of one system now: `python -m vadjax.systems.exemplar STAGE`."""

import sys

from vadjax.runtime import command

if __name__ == "__main__":
    command.run(
        lambda: sys.exit("error: vadjax.stages is now: python -m vadjax.systems.exemplar STAGE …")
    )
