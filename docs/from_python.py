# %% [markdown]
# # A study from Python
#
# Cells for Jupyter, VS Code or Spyder; as a script: `python docs/from_python.py results/digits`. It draws one panel of
# the figure `memorised_vs_size` anew, from the tables, and checks every number against the CSV beside the figure.
# Nothing here imports torch.

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import memflow

study = memflow.open_study(sys.argv[1] if len(sys.argv) > 1 else "results/digits")
dataset = study.datasets[-1]
family = study.families(dataset)[-1]
print(study, dataset, family, study.sizes(dataset, family))

# %% [markdown]
# Scores come as a table, one row per training example, in the official order of the dataset. Every file is checked
# against its sidecar as it is read.

# %%
largest = study.sizes(dataset, family)[-1]
scores = study.scores(dataset, largest)
columns = ["index", "label", "memorisation", "ci_low", "ci_high", "label_noise"]
print(scores.nlargest(5, "memorisation")[columns].to_string(index=False))

# %% [markdown]
# How many examples each size memorises, and the trend that the example types tell.

# %%
MEMORISED_AT = 0.25  # `memorised_at` of the config
rows = []
for name in study.sizes(dataset, family):
    score = study.scores(dataset, name)["memorisation"]
    parameters = study.summary(dataset, name)["parameters"][0]
    rows.append({"architecture": name, "parameters": parameters, "memorised": (score >= MEMORISED_AT - 1e-9).sum()})
sizes = pd.DataFrame(rows)
print(sizes.to_string(index=False))
print(study.trajectories(dataset, family)["type"].value_counts().to_string())

# %% [markdown]
# The same numbers as in the figure's own table?

# %%
drawn = pd.read_csv(study.folder / f"figures/{dataset}/memorised_vs_size.csv")
drawn = drawn[drawn["threshold"] == MEMORISED_AT].drop_duplicates(["architecture", "examples"])
drawn = drawn.groupby("architecture")["value"].sum()  # clean and flipped labels have rows of their own
compared = sizes.set_index("architecture").join(drawn)
assert np.array_equal(compared["memorised"], compared["value"]), compared
print(f"{len(compared)} numbers agree with figures/{dataset}/memorised_vs_size.csv")

# %%
figure, axes = plt.subplots(figsize=(3.4, 2.6), layout="constrained")
axes.semilogx(sizes["parameters"], sizes["memorised"], marker="o")
axes.set(xlabel="Parameters", ylabel=f"Examples with a score of {MEMORISED_AT} or more")
figure.savefig(Path("memorised_vs_size.png"), dpi=200)

# %% [markdown]
# Down to the runs: subsets, correctness and log-odds of each, from the blocks. The score is two means.

# %%
runs = study.outcomes(dataset, largest)
example = int(scores["memorisation"].argmax())
had = runs.masks[:, example]
score = runs.train_correct[had, example].mean() - runs.train_correct[~had, example].mean()
print(f"example {scores['index'][example]}: {score:.3f} from {had.sum()} runs with it and {(~had).sum()} without")
assert score == scores["memorisation"][example]
image = study.images(dataset)[example]
label = study.dataset(dataset).class_names[scores["label"][example]]
print(f"its image is {image.shape[0]} x {image.shape[1]} pixels, its label {label}")
