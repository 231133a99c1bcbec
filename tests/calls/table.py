"""The table of README.md: which script shows which entry of the list of peer faults, and in which words.

Run it to write the table anew: `python -m tests.calls.table`.
"""

from pathlib import Path
from typing import Final

from tests.calls.script import read

HERE: Final = Path(__file__).parent
README: Final = HERE / "README.md"
HEADING: Final = "## The list of peer faults\n"


def table() -> str:
    """One row for each script, by number and name."""
    rows = ["| # | Script | What happens |", "|---|---|---|"]
    for path in sorted(HERE.glob("peers/*.toml")):
        script = read(path)
        name = path.stem.partition("-")[2]
        rows.append(f"| {script.entry} | [{name}](peers/{path.name}) | {script.title.replace('|', '/')} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    text = README.read_text("utf-8")
    README.write_text(text.partition(HEADING)[0] + HEADING + "\n" + table(), "utf-8")
