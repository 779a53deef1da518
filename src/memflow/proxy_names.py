"""What proxies are called, in sentences and in figures, in the order in which they stand there."""

SCORE = "memorisation"
NAMES = {
    SCORE: "memorisation",
    "cumulative_accuracy": "cumulative accuracy",
    "cumulative_confidence": "cumulative confidence",
    "cumulative_loss": "cumulative loss",
    "forgetting": "forgetting",
    "aum": "AUM",
    "el2n": "EL2N",
    "data_map_variability": "data-map variability",
    "final_entropy": "final entropy",
    "final_loss": "final loss",
    "prediction_depth": "prediction depth",
    "c_score": "C-score",
    "c_score_mean": "C-score of all ratios",
}


def name(proxy: str) -> str:
    """How a proxy is called in a sentence; what is not named by itself is a C-score at a further ratio."""
    return NAMES.get(proxy) or f"C-score at ratio {proxy.removeprefix('c_score_').replace('-', '/')}"
