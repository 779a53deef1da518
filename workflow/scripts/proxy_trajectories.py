"""Command line of the figure proxy_trajectories; see memflow.figures.proxy_trajectories."""

from memflow.figures import adapter
from memflow.figures.proxy_trajectories import draw, table

if __name__ == "__main__":
    inputs = {"proxies": "proxied", "halves": "proxied", "summary": "proxied"}
    adapter.main(__doc__, inputs, table=table, draw=draw)
