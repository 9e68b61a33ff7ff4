"""What is done with the events of one camera, whatever goes wrong beside it."""

import pytest

from tests.live.test_events import part
from vadjax.live.observer import CameraObserver
from vadjax.live.options import LiveOptions
from vadjax.live.rules import AlertRules

CAR = {"class": "car", "box": [1, 2, 3, 4], "text": "drives"}
PERSON = {"class": "person", "box": [5, 6, 7, 8], "text": "walks"}


class Kept:
    """Keeps the records that it gets."""

    def __init__(self):
        self.got = []

    def put(self, record):
        """Takes one."""
        self.got.append(record)


@pytest.fixture
def observed(tmp_path):
    """Makes an observer whose alerts are kept, of scores and objects: `observed(parts, …)`."""

    def watch(parts, rules=AlertRules(), **asked):  # noqa: B008 (immutable)
        kept, options = Kept(), LiveOptions(alerts=("true",), **asked)
        observer = CameraObserver("gate", tmp_path, 0.5, (20, 30), options, rules, [kept])
        observer.alerts = kept.got
        list(observer.parts(parts))
        return observer

    return watch


def test_an_object_below_the_line_makes_no_alert_of_an_event_that_is_of_another(observed):
    """The car is ignored and leaves; the frames are still above the line for a while."""
    with_car = [
        part(n, 0.8, objects=[{**CAR, "box_score": 0.9}, {**PERSON, "box_score": 0.1}])
        for n in range(3)
    ]
    without = [part(n, 0.6, objects=[{**PERSON, "box_score": 0.1}]) for n in range(3, 6)]
    rules = AlertRules(ignored=frozenset(["car"]))
    observer = observed([*with_car, *without], rules)
    observer.close()
    assert not observer.alerts and observer.listed[-1]["held"] == "class"
    unusual = [part(6, 0.6, objects=[{**PERSON, "box_score": 0.7}])]
    observer = observed([*with_car, *without, *unusual], rules)
    observer.close()
    assert [alert["text"] for alert in observer.alerts] == ["walks"]
