"""The tests of `App`, as they stand, on every broker that serves components beside the caller's thread."""

from __future__ import annotations

import inspect

import pytest

import tests.test_app as original

VIRTUAL = "virtual time"
ONE_THREAD = "one thread serves all components in turn"
OWN = "says itself on which broker it runs, or runs none"
DOES_NOT_APPLY = {
    "test_a_bus_on_memory_is_private_and_a_named_one_is_shared": OWN,
    "test_a_closed_bus_says_so": OWN,
    "test_a_command_may_go_to_another_app_on_a_shared_broker": OWN,
    "test_a_component_refuses_a_name_that_is_no_queue": OWN,
    "test_a_component_refuses_what_makes_no_sense": OWN,
    "test_a_command_that_a_full_queue_drops_has_a_handler_all_the_same": VIRTUAL,
    "test_a_paused_component_catches_up": VIRTUAL,
    "test_a_failing_event_is_tried_again_with_growing_pauses_then_given_up_and_can_be_redriven": VIRTUAL,
    "test_a_handler_that_catches_what_was_refused_to_await_goes_on": VIRTUAL,
    "test_a_plain_handler_that_returns_a_coroutine_is_no_handled_event": VIRTUAL,
    "test_a_report_does_not_say_that_what_a_full_queue_refused_went_to_nobody": VIRTUAL,
    "test_a_timer_in_the_past_is_refused": VIRTUAL,
    "test_an_app_that_could_not_be_opened_says_so_each_time_until_it_can_be": ONE_THREAD,
    "test_an_event_that_comes_again_while_it_is_handled_is_no_duplicate_until_that_is_done": VIRTUAL,
    "test_an_event_that_went_back_while_it_was_handled_and_failed_keeps_neither_its_key_nor_its_order": VIRTUAL,
    "test_an_inbox_makes_a_repeated_delivery_harmless": VIRTUAL,
    "test_an_inbox_makes_a_repeated_delivery_harmless_also_while_the_first_one_is_being_handled": VIRTUAL,
    "test_an_interrupt_before_the_handler_gives_the_event_back_and_frees_the_worker": VIRTUAL,
    "test_an_interrupt_gives_the_event_back": VIRTUAL,
    "test_an_interrupt_of_what_was_acked_before_the_work_frees_its_key": VIRTUAL,
    "test_async_handlers_wait_together_on_the_apps_clock": VIRTUAL,
    "test_at_most_once_acks_before_the_work": VIRTUAL,
    "test_awaiting_anything_else_in_virtual_time_is_refused": VIRTUAL,
    "test_background_and_virtual_time_exclude_each_other": VIRTUAL,
    "test_clock_seed_and_broker_can_be_chosen_until_the_app_is_used": VIRTUAL,
    "test_events_are_handled_in_the_order_of_publication_across_components": ONE_THREAD,
    "test_events_held_behind_a_retried_one_leave_it_a_place": VIRTUAL,
    "test_order_per_key_holds_a_duplicate_too_while_its_event_is_to_come_back": VIRTUAL,
    "test_order_per_key_holds_the_key_back_while_one_of_it_is_retried": VIRTUAL,
    "test_order_per_key_survives_headers_that_are_not_ours": VIRTUAL,
    "test_service_times_keep_workers_busy": VIRTUAL,
    "test_the_same_seed_gives_the_same_trace_and_another_seed_another": VIRTUAL,
    "test_wait_for_moves_virtual_time_no_further_than_needed": VIRTUAL,
    "test_what_a_full_queue_drops_is_counted": VIRTUAL,
    "test_what_a_hook_raises_as_an_event_is_received_gives_the_event_back": VIRTUAL,
    "test_what_waits_behind_a_malformed_message_is_not_forgotten_when_that_is_raised": VIRTUAL,
    "test_what_was_acked_before_the_work_and_is_cut_off_is_told_by_the_trace": VIRTUAL,
    "test_what_was_to_be_acked_before_the_work_and_went_back_meanwhile_is_handled_when_it_comes_again": VIRTUAL,
    "test_what_went_back_before_its_early_ack_is_not_told_to_have_crashed": VIRTUAL,
    "test_whatever_a_handler_raises_in_this_thread_but_ctrl_c_is_an_attempt_that_failed": VIRTUAL,
    "test_without_order_per_key_a_retry_is_overtaken": VIRTUAL,
}
TESTS = {name for name, thing in vars(original).items() if name.startswith("test_") and inspect.isfunction(thing)}
globals().update({name: vars(original)[name] for name in sorted(TESTS - DOES_NOT_APPLY.keys())})


@pytest.fixture(autouse=True)
def on_this_broker(broker_url, monkeypatch):
    monkeypatch.setenv("EDAKIT_BROKER", broker_url)


def test_nothing_is_left_out_but_what_is_named_here():
    assert DOES_NOT_APPLY.keys() <= TESTS
    for name, reason in DOES_NOT_APPLY.items():
        assert reason != VIRTUAL or "virtual" in inspect.getsource(vars(original)[name]), name
