"""What a lab needs of a machine to run as plain processes."""

import os

from lab_services import paths
from lab_services.stack import catalogue, compose, ports, servers


def missing_programs(lab: str) -> list[servers.BinaryMissing]:
    """The servers of a lab that this machine does not have, each as the error that names the way
    to get it. Raises LabError for an unknown lab, a Compose file that is refused, a taken port.
    """
    variables = {**os.environ, "LAB_MODELS": str(paths.models_dir())}
    services = compose.read(catalogue.compose_path(lab), variables).services.values()
    missing = []
    for service in services:
        ports.check_fixed(service)
    for program in sorted({servers.server(service.command) for service in services}):
        try:
            servers.binary(program)
        except servers.BinaryMissing as error:
            missing.append(error)
    return missing
