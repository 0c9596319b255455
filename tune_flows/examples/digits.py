"""A trainable for scikit-learn's digits: a small neural network, trained epoch by epoch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_flows import Trainable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DigitsClassifier", "read_data", "split_digits"]


def split_digits(seed: int = 0) -> dict[str, "pd.DataFrame"]:
    """Return the frames `train`, `validation` and `test` of the digits: 64 features in [0, 1] and `label`."""
    import pandas as pd
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    frame = pd.DataFrame(digits.data / 16.0, columns=digits.feature_names).assign(label=digits.target)
    validation = frame.groupby("label").sample(frac=0.25, random_state=seed)
    rest = frame.drop(validation.index)
    test = rest.groupby("label").sample(frac=0.2, random_state=seed)
    return {"train": rest.drop(test.index), "validation": validation, "test": test}


def read_data(config: dict[str, Any], split: str) -> "pd.DataFrame":
    """Read one of the frames of `split_digits`.

    Args:
        config: May contain the location: `data`, a folder (path or URL) with `<split>.parquet`; or a key with
            the split's name, a Parquet file. Without either, the bundled data is split here.
        split: `train`, `validation` or `test`.
    """
    import pandas as pd

    from tune_flows.store import ObjectStore, read_table

    if "data" in config:
        return read_table(ObjectStore(config["data"]), f"{split}.parquet")
    return pd.read_parquet(config[split]) if split in config else split_digits()[split]


class DigitsClassifier(Trainable):
    """A neural network; a step is an epoch, with `loss` (training) and `accuracy` (validation, 0 to 1).

    Config: `learning_rate`, `hidden` (units); optional `alpha` (L2 penalty), `batch_size`, `activation`,
    `seed`, and the location of the data, as for `read_data`.
    """

    def setup(
        self,
        config: dict[str, Any],
        train: "pd.DataFrame | None" = None,
        validation: "pd.DataFrame | None" = None,
    ) -> None:
        """Make an untrained model and read the data that `with_parameters` does not pass."""
        from sklearn.neural_network import MLPClassifier

        self.train = _arrays(read_data(config, "train") if train is None else train)
        self.validation = _arrays(read_data(config, "validation") if validation is None else validation)
        self.model = MLPClassifier(
            hidden_layer_sizes=(config["hidden"],),
            activation=config.get("activation", "relu"),
            alpha=config.get("alpha", 1e-4),
            batch_size=config.get("batch_size", 64),
            learning_rate_init=config["learning_rate"],
            random_state=config.get("seed", 0),
        )

    def step(self) -> dict[str, Any]:
        """Train for one epoch."""
        features, labels = self.train
        self.model.partial_fit(features, labels, classes=range(10))
        return {"loss": self.model.loss_, "accuracy": self.model.score(*self.validation)}

    def save_checkpoint(self, checkpoint_dir: Path) -> None:
        """Save the model as a file."""
        import joblib

        joblib.dump(self.model, checkpoint_dir / "model.joblib")

    def load_checkpoint(self, checkpoint: Any) -> None:  # noqa: ANN401 - the folder that was saved
        """Load a saved model, to continue its training."""
        import joblib

        self.model = joblib.load(checkpoint / "model.joblib")


def _arrays(frame: "pd.DataFrame") -> tuple[Any, Any]:
    """Return features (n, 64), floats in [0, 1], and labels (n,), 0 to 9."""
    return frame.drop(columns="label").to_numpy(), frame["label"].to_numpy()
