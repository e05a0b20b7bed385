"""What is taught: chapters, their steps and checks, hints and progress.

Steps are data (`steps.yaml` beside a chapter's notebook). `load` reads them, `demands` turns a step into
flows of the world at hand,
`evaluate` compares what is demanded with what the model decides and the cluster did, `lab.Lab` is the face in a notebook.
Importing this package needs the standard library alone, so that it also runs where there is no cluster.
"""

from labkit.course.load import AuthorError, load_chapter
from labkit.course.results import CheckResult, Status, StepResult
from labkit.course.steps import Chapter, Step

__all__ = ["AuthorError", "Chapter", "CheckResult", "Status", "Step", "StepResult", "load_chapter"]
