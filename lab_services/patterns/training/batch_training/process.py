"""What a run is, seen from its process. Light to import: the scheduler names these and no more."""


def run(job: str, month: int, model: str, die_after: str) -> None:
    """The job or its naive counterpart; the process leaves by its exit code."""
    if job == "naive":
        from lab_services.patterns.training.batch_training import naive

        naive.main(month, model, die_after)
    else:
        from lab_services.patterns.training.batch_training import job as careful

        careful.main(month, model, die_after)


def warm() -> None:
    """The first process: it makes the imports, which the others then share, and MLflow's tables."""
    from lab_services.patterns.training.batch_training import registry

    registry.client()
