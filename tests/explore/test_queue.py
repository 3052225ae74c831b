"""Work is done in order, once for all who ask, within bounds, and given up when nobody waits."""

import threading
import time

import pytest

from toroids.explore.queue import Full, Gone, Queue


def forever(look):
    while True:
        look()
        time.sleep(0.01)


class Asked:
    """Somebody who asks in a thread of its own, and may go away."""

    def __init__(self, queue, name, work):
        self.gone, self.outcome = threading.Event(), None
        self._thread = threading.Thread(target=self._ask, args=(queue, name, work))
        self._thread.start()

    def _ask(self, *words):
        queue, *rest = words
        try:
            self.outcome = queue.do(*rest, self.gone.is_set)
        except BaseException as error:
            self.outcome = error

    def answer(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


def eventually(condition):
    until = time.monotonic() + 30
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_in_order_and_one_at_a_time():
    queue, order, first = Queue(9), [], threading.Event()

    def work(number):
        def done(look):
            assert first.wait(30)
            order.append(number)
            return number

        return done

    asked = []
    for number in range(5):
        asked.append(Asked(queue, number, work(number)))
        assert eventually(lambda: len(queue._pieces) == len(asked))
    first.set()
    assert [one.answer() for one in asked] == order == list(range(5))


def test_one_piece_for_all_who_ask_for_it():
    queue, go_on, times = Queue(1), threading.Event(), []

    def work(look):
        times.append(1)
        assert go_on.wait(30)
        return "found"

    asked = [Asked(queue, "same", work) for _ in range(20)]
    assert eventually(lambda: queue._pieces["same"].askers == 20)
    go_on.set()
    assert [one.answer() for one in asked] == ["found"] * 20
    assert times == [1]


def test_what_nobody_waits_for_is_given_up_and_the_next_has_its_turn():
    queue = Queue(9)
    first, second = Asked(queue, "a", forever), Asked(queue, "b", forever)
    both = Asked(queue, "a", forever)
    last = Asked(queue, "c", lambda look: "c")
    assert eventually(lambda: "a" in queue._pieces and queue._pieces["a"].askers == 2)
    first.gone.set()
    assert isinstance(first.answer(), Gone)
    assert "a" in queue._pieces  # another waits for it
    both.gone.set()
    second.gone.set()
    assert [type(one.answer()) for one in (both, second)] == [Gone, Gone]
    assert last.answer() == "c"
    queue.finish(30)
    assert not queue._pieces


def test_more_than_may_wait():
    queue = Queue(2)
    asked = [Asked(queue, name, forever) for name in "ab"]
    assert eventually(lambda: len(queue._pieces) == 2)
    with pytest.raises(Full):
        queue.do("c", forever, lambda: False)
    for one in asked:
        one.gone.set()
        assert isinstance(one.answer(), Gone)
    queue.finish(30)
    assert queue.do("c", lambda look: 3, lambda: False) == 3


def test_what_nobody_waits_for_leaves_room_before_its_turn():
    queue, begun, go_on = Queue(2), threading.Event(), threading.Event()

    def busy(look):
        begun.set()
        assert go_on.wait(30)
        return "a"

    first, second = Asked(queue, "a", busy), Asked(queue, "b", forever)
    assert begun.wait(30) and eventually(lambda: len(queue._pieces) == 2)
    second.gone.set()
    assert isinstance(second.answer(), Gone)
    third = Asked(queue, "c", lambda look: "c")
    assert eventually(lambda: "c" in queue._pieces)
    go_on.set()
    assert [one.answer() for one in (first, third)] == ["a", "c"]


def test_a_failure_is_that_of_all_who_asked_and_is_not_kept():
    queue = Queue(1)
    with pytest.raises(ZeroDivisionError):
        queue.do("a", lambda look: 1 / 0, lambda: False)
    assert queue.do("a", lambda look: 1, lambda: False) == 1


def test_who_asks_while_it_is_given_up_gets_an_answer():
    queue, given_up, go_on, calls = Queue(1), threading.Event(), threading.Event(), []

    def work(look):
        calls.append(1)
        if len(calls) > 1:
            return "again"
        try:
            forever(look)
        finally:
            given_up.set()
            assert go_on.wait(30)

    first = Asked(queue, "a", work)
    assert eventually(lambda: calls)
    first.gone.set()
    assert given_up.wait(30)
    second = Asked(queue, "a", work)
    assert eventually(lambda: queue._pieces["a"].askers == 1)
    go_on.set()
    assert second.answer() == "again"
