"""Curves for the pages of defenses and attacks: accuracy over the rounds of the published runs, as reports draw it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from docs.published import Course, Published
from robustfl.reports.html_drawings import svg
from robustfl.reports.sections.content import Circle, Drawing, Path, Shape, Words
from robustfl.reports.sections.content.figures import Frame, ticks

WIDTH, HEIGHT = 420, 200


def figure(course: Course, published: Published) -> str:
    """A curve as HTML: the course of a pipeline, dashed without an attack, grey the courses of all others."""
    rounds = [number for number, _ in course.calm]
    frame = Frame(width=WIDTH, height=HEIGHT, low=0, high=max(rounds))
    others = [frame.line(other) for other in course.others]
    shapes: tuple[Shape, ...] = (
        *frame.axes(),
        Path(d=frame.across(published.chance), meaning="limit"),
        *(Path(d=line, meaning="ghost") for line in others),
        Path(d=frame.line(course.calm), meaning="base"),
        Path(d=frame.line(course.attacked), meaning="line"),
        *(_dot(frame, point) for point in course.attacked[-1:]),
        *(Words(x=frame.x(number), y=HEIGHT - 5, text=str(number), anchor="middle") for number in _marks(rounds)),
        Words(x=frame.x(max(rounds) / 2), y=HEIGHT + 10, text="round", anchor="middle"),
    )
    calm = f"Accuracy of {course.defense} over rounds: in the end {course.calm[-1][1]:.2f} without an attack"
    blown = f"; under {course.attack} training blows up"
    words = calm + (blown if course.diverged else f", {course.attacked[-1][1]:.2f} under {course.attack}")
    drawn = svg(Drawing(width=WIDTH, height=HEIGHT + 14, words=words, shapes=shapes))
    return f'<figure class="curve">{drawn}</figure>'


def _dot(frame: Frame, point: tuple[int, float]) -> Circle:
    return Circle(
        x=frame.x(point[0]), y=frame.y(point[1]), r=3, meaning="dot", title=f"round {point[0]}: {point[1]:.2f}"
    )


def _marks(rounds: Sequence[int]) -> list[int]:
    """The rounds that are named below: measurements that are as far apart as the first two are."""
    step = min((later - sooner for sooner, later in pairwise(rounds[:3])), default=1)
    marks: list[int] = ticks(list(range(0, max(rounds) + 1, max(step, 1))), limit=7)
    return marks
