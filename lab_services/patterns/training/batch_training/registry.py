"""MLflow's tracking and its model registry, on PostgreSQL and without a server between."""

import os
from pathlib import Path
from typing import Any

# Asked before the import: MLflow would tell its makers of its use.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from lab_services.patterns.training.batch_training import tables
from lab_services.services import settings

CHAMPION, CANDIDATE = "champion", "candidate"


def client(url: str | None = None) -> MlflowClient:
    """MLflow's own client; the first one of a new database makes MLflow's tables."""
    stated = url or settings.text("DATABASE_URL")
    uri = stated.replace("postgresql://", "postgresql+psycopg://", 1)
    with tables.connect(stated) as database, tables.locked(database, "schema"):
        made = MlflowClient(tracking_uri=uri, registry_uri=uri)
        made.search_registered_models(max_results=1)
        made.get_experiment("0")
    return made


class Registry:
    """The versions of one model: one a month, with the month as a tag."""

    def __init__(self, model: str, client: MlflowClient) -> None:
        self.model = model
        self.client = client

    def versions(self) -> list[ModelVersion]:
        """Every version, oldest first."""
        found = self.client.search_model_versions(f"name = '{self.model}'", max_results=1000)
        return sorted(found, key=lambda version: int(version.version))

    def version_of(self, month: int) -> ModelVersion | None:
        """The version of that month, where there is one."""
        own = [version for version in self.versions() if version.tags.get("month") == str(month)]
        return own[0] if own else None

    def champion(self) -> ModelVersion | None:
        """The version that is to serve; None before the first."""
        try:
            return self.client.get_model_version_by_alias(self.model, CHAMPION)
        except MlflowException:
            return None

    def name(self, version: ModelVersion, alias: str) -> None:
        """Point an alias at a version: one row changes, so nobody sees anything between."""
        self.client.set_registered_model_alias(self.model, alias, version.version)

    def register(self, path: Path, run: str, tags: dict[str, Any]) -> ModelVersion:
        """A new version, which points at files that are there already."""
        texts = {name: str(value) for name, value in tags.items()}
        return self.client.create_model_version(self.model, str(path), run, tags=texts)

    def track(self, month: int, params: dict[str, Any], metrics: dict[str, float]) -> str:
        """A tracked run with these numbers; its id. Runs that a kill left open are closed."""
        experiment = self._experiment()
        for open_ in self.client.search_runs(
            [experiment], f"attributes.status = 'RUNNING' and tags.month = '{month}'"
        ):
            self.client.set_terminated(open_.info.run_id, "KILLED")
        run = self.client.create_run(experiment, tags={"month": str(month)}).info.run_id
        for name, value in params.items():
            self.client.log_param(run, name, value)
        for name, number in metrics.items():
            self.client.log_metric(run, name, number)
        return str(run)

    def close(self, run: str) -> None:
        """The run has come to its end."""
        self.client.set_terminated(run, "FINISHED")

    def _experiment(self) -> str:
        known = self.client.get_experiment_by_name(self.model)
        if known is not None:
            return str(known.experiment_id)
        if not self.client.search_registered_models(f"name = '{self.model}'"):
            self.client.create_registered_model(self.model)
        return str(self.client.create_experiment(self.model))
