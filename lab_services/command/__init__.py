"""`lab`: the labs, their stacks and traffic from a terminal.

What a command needs is imported where it is used: `lab --help` answers at once.
"""

from lab_services import ending
from lab_services.command import (
    doctor,
    fault,
    image,
    inputs,
    jupyterlab,
    labs,
    load,
    models,
    new,
    plan,
    prove,
    replay,
    run,
    stacks,
    steady,
    verdicts,
)
from lab_services.command.group import Lab

cli = Lab(
    "lab",
    help="""Run, load and break the services of the labs from a terminal.

    \b
    Examples:
      lab doctor                        what works on this machine
      lab up serving/web-single         start a lab's services
      lab load serving/web-single       send them real flights
      lab fault kill predictor          break something
      lab down                          end them
      lab run serving/web-single        the whole notebook, with a verdict for each claim
      lab prove serving/web-single      do its claims hold? what fails is measured again
      lab steady serving/web-single     do they hold on other machines, made on this one?
      lab replay serving/web-single     the kept run worked out anew, without its services

    Where several stacks run, name one by its lab or by the id that `lab ps` shows.

    \b
    Exit codes:
      0    done; of `run`: every claim holds
      1    it could not be done; the message says why and what to do about it
      2    the command line is wrong
      3    of `run` and `steady`: a claim fails; of `prove`: one of a steady lab, twice
      4    of `run` and `steady`: not enough evidence for a claim
      5    of `run`, `prove` and `steady`: a cell of the notebook fails
      130  interrupted by Ctrl-C (143 and 129: ended by SIGTERM and SIGHUP)
    """,
)
for command in (
    labs.list_labs,
    jupyterlab.open_lab,
    doctor.doctor,
    stacks.up,
    stacks.ps,
    stacks.logs,
    load.load,
    fault.fault,
    stacks.down,
    run.run,
    prove.prove,
    steady.steady,
    replay.replay,
    plan.plan,
    verdicts.verdicts,
    inputs.inputs,
    image.image,
    models.models,
    new.new,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of the `lab` script."""
    ending.by_exception()
    cli.main(prog_name="lab")
