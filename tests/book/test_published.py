"""What a published book says beside a run."""

from pathlib import Path
from typing import Any

from lab_services.book import published
from lab_services.runs.run import Run


def claim(text: str, verdict: str) -> dict[str, Any]:
    measured = {"text": "1.4×"}
    rival = "nothing is gained (1×)"
    words = {"bound": "", "reason": "", "kind": "measured on this run's services", "rival": rival}
    return {"text": text, "verdict": verdict, "measured": measured, **words}


def test_only_what_does_not_hold_here_is_shown(tmp_path: Path) -> None:
    """A table of all claims once more, or of one that the published book does not make."""
    rows = [claim("holds", "holds"), claim("fails", "fails"), claim("new", "fails")]
    run = Run(tmp_path, {"lab": "serving/small", "claims": rows})
    there = [claim("holds", "holds"), claim("fails", "holds"), claim("dropped", "fails")]
    shown = published.beside(run, {"provenance": "on a <Xeon>", "claims": there})
    assert "on a &lt;Xeon&gt;" in shown and ">fails<" in shown
    assert not any(f">{text}<" in shown for text in ("new", "dropped"))
    assert shown.count("<tr") == 2  # the head and one claim
    assert published.beside(run, None) == ""
    assert published.beside(run, {"provenance": "", "claims": there[:1]}) == ""
