"""All that a run imports, imported once: the scheduler forks its runs from a process that has it.

Several of these are otherwise imported at their first use, in each run anew.
"""

import gc

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store
import pythonjsonlogger.json
import skl2onnx
import sklearn.ensemble
import sklearn.linear_model
import sklearn.metrics
import sklearn.pipeline
import sklearn.preprocessing
import threadpoolctl
import uvicorn

from lab_services.patterns.training.batch_training import job, naive, process

__all__ = [
    "job",
    "mlflow",
    "naive",
    "process",
    "pythonjsonlogger",
    "skl2onnx",
    "sklearn",
    "threadpoolctl",
    "uvicorn",
]

# A collection would touch every page that the runs share, and so copy it.
gc.collect()
gc.freeze()
