"""Command line of the figure trajectories; see memflow.figures.trajectories."""

from memflow.figures import adapter
from memflow.figures.trajectories import draw, table

if __name__ == "__main__":
    inputs = {"summary": "families", "curves": "families", "halves": "families"}
    adapter.main(__doc__, inputs, table=table, draw=draw, pictures=True)
