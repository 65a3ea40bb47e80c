"""An app in the hands of several threads: opened, started, stopped and closed at any moment, also from its own handlers."""

from __future__ import annotations

import threading

from edakit import App
from tests.shop_language import CartItemAdded, recorder


def at_once(count, do):
    """Call *do* in *count* threads at the same time; return what was raised."""
    raised, begin = [], threading.Barrier(count)

    def run():
        begin.wait()
        try:
            do()
        except BaseException as error:  # noqa: BLE001 (the test asks what it was)
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_an_app_that_several_threads_use_first_loses_nothing():
    for _ in range(10):
        mail, mailed = recorder("mail")
        app = App(mail)

        raised = at_once(8, lambda app=app: app.publish(CartItemAdded(cart_id="c-1")))
        app.run_until_idle()

        assert (raised, len(mailed)) == ([], 8)


def test_an_app_that_several_threads_start_is_started_once():
    before = threading.active_count()
    for _ in range(10):
        app = App(recorder("mail")[0])

        assert at_once(4, app.start) == []
        assert threading.active_count() == before + 1

        app.close()
        assert threading.active_count() == before
