"""Command line of the figure teacher_transfer; see memflow.figures.teacher_transfer."""

from memflow.figures import adapter
from memflow.figures.teacher_transfer import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"transfer": "distillations"}, table=table, draw=draw)
