"""Command line of the figure most_memorised; see memflow.figures.most_memorised."""

from memflow.figures import adapter
from memflow.figures.most_memorised import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"halves": "largest"}, table=table, draw=draw, pictures=True)
