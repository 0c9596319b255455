"""A trainable on scikit-learn's digits: a small neural network, trained epoch by epoch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_flows import Trainable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DigitsClassifier", "read_split", "split_digits"]


def split_digits(seed: int = 0) -> dict[str, "pd.DataFrame"]:
    """The digits as two frames, `train` and `validation`: 64 features in [0, 1] and the column `label`."""
    import pandas as pd
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    frame = pd.DataFrame(digits.data / 16.0, columns=digits.feature_names).assign(label=digits.target)
    validation = frame.groupby("label").sample(frac=0.25, random_state=seed)
    return {"train": frame.drop(validation.index), "validation": validation}


def read_split(config: dict[str, Any], split: str) -> tuple[Any, Any]:
    """Features (n, 64), floats in [0, 1], and labels (n,), 0 to 9.

    Args:
        config: May name the Parquet file of the split; without it the bundled data is split here.
        split: `train` or `validation`.
    """
    import pandas as pd

    frame = pd.read_parquet(config[split]) if split in config else split_digits()[split]
    return frame.drop(columns="label").to_numpy(), frame["label"].to_numpy()


class DigitsClassifier(Trainable):
    """One step is one epoch; reports `loss` (training) and `accuracy` (validation, 0 to 1).

    Config: `learning_rate`, `hidden` (units); optional `alpha` (L2 penalty), `batch_size`, `activation`,
    `seed`, and `train` and `validation`, the paths of Parquet files.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Read the data and make an untrained model."""
        from sklearn.neural_network import MLPClassifier

        self.train = read_split(config, "train")
        self.validation = read_split(config, "validation")
        self.model = MLPClassifier(
            hidden_layer_sizes=(config["hidden"],),
            activation=config.get("activation", "relu"),
            alpha=config.get("alpha", 1e-4),
            batch_size=config.get("batch_size", 64),
            learning_rate_init=config["learning_rate"],
            random_state=config.get("seed", 0),
        )

    def step(self) -> dict[str, Any]:
        """One epoch."""
        features, labels = self.train
        self.model.partial_fit(features, labels, classes=range(10))
        return {"loss": self.model.loss_, "accuracy": self.model.score(*self.validation)}

    def save_checkpoint(self, checkpoint_dir: Path) -> None:
        """The model as a file."""
        import joblib

        joblib.dump(self.model, checkpoint_dir / "model.joblib")

    def load_checkpoint(self, checkpoint: Any) -> None:  # noqa: ANN401 - the folder that was saved
        """Go on with a saved model."""
        import joblib

        self.model = joblib.load(checkpoint / "model.joblib")
