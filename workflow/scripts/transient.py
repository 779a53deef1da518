"""Command line of the figure transient; see memflow.figures.transient."""

from memflow.figures import adapter
from memflow.figures.transient import draw, table

if __name__ == "__main__":
    inputs = {"sets": "families", "transient": "families"}
    adapter.main(__doc__, inputs, table=table, draw=draw, pictures=True)
