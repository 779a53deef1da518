"""Command line of the figure hazards; see memflow.figures.hazards."""

from memflow.figures import adapter
from memflow.figures.hazards import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"pairs": "dataset"}, table=table, draw=draw, pictures=True)
