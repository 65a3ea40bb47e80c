from __future__ import annotations

import json

import pytest

from edakit.classroom.guesses import GuessesFileError, guesses_file, keep_guess, read_guesses
from edakit.classroom.predictions import measured, predict, prediction
from edakit.errors import InvalidValueError

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Where this test's guesses are kept."""
    path = tmp_path / "work" / "predictions.json"
    monkeypatch.setenv("EDAKIT_PREDICTIONS", str(path))
    return path


def widgets(field):
    """Return the field, the buttons by what they say, and the line under them."""
    row, status = field.box.children
    return row.children[0], {button.description: button for button in row.children if hasattr(button, "click")}, status


def test_a_guess_in_code_is_kept_and_found_again(file):
    predict("wait_at_90", 40, unit="ms")

    assert prediction("wait_at_90") == 40
    assert json.loads(file.read_text(encoding="utf-8")) == {"wait_at_90": 40}


def test_nobody_has_guessed_yet(file):
    assert prediction("wait_at_90") is None
    assert not file.exists()


def test_a_number_that_is_typed_is_kept_with_or_without_its_unit(file):
    field, _, status = widgets(predict("wait_at_90", unit="ms"))

    field.value = " 40 ms"

    assert prediction("wait_at_90") == 40
    assert "Your guess 40 ms is kept." in status.value
    assert 'role="status"' in status.value


def test_the_button_keeps_what_stands_in_the_field(file):
    keep_guess(file, "wait_at_90", 12)
    shown = predict("wait_at_90", unit="ms")
    field, buttons, _ = widgets(shown)
    file.unlink()

    buttons["Keep my guess"].click()

    assert field.description == "Your guess [ms]"
    assert prediction("wait_at_90") == 12


@pytest.mark.parametrize("typed", ["", "soon", "1,5", "nan", "inf", "1e99"])
def test_what_is_no_number_is_said_in_the_field_and_not_kept(file, typed):
    shown = predict("wait_at_90", unit="ms")
    field, buttons, status = widgets(shown)

    field.value = typed
    buttons["Keep my guess"].click()

    assert "Not kept: " in status.value
    assert "a number in ms, zero or more, such as 40" in status.value
    assert not file.exists()


def test_a_choice_is_a_button_for_each(file):
    _, buttons, status = widgets(predict("who_waits", choices=["the click", "the timer"]))

    buttons["the timer"].click()

    assert list(buttons) == ["the click", "the timer", "Skip"]
    assert prediction("who_waits") == "the timer"
    assert "the timer" in status.value


def test_to_skip_is_allowed_and_remembered(file):
    _, buttons, _ = widgets(predict("wait_at_90", unit="ms"))

    buttons["Skip"].click()

    assert prediction("wait_at_90") is None
    assert "Skipped" in repr(predict("wait_at_90", unit="ms"))


def test_a_guess_survives_a_restart_and_stands_in_the_field_again(file):
    predict("wait_at_90", 1500, unit="ms")

    field, _, status = widgets(predict("wait_at_90", unit="ms"))

    assert field.value == "1500"
    assert "1,500 ms" in status.value


def test_the_text_beside_the_field_is_the_same_on_every_machine(file):
    shown = predict("wait_at_90", unit="ms")._repr_mimebundle_()

    assert shown["text/plain"] == "Prediction wait_at_90 [ms]: No guess yet."
    assert VIEW in shown


def test_several_fields_share_the_file_and_keep_each_others_guesses(file):
    first, second = predict("first"), predict("second", choices=["a", "b"])

    first.keep(1)
    second.keep("b")

    assert read_guesses(file) == {"first": 1, "second": "b"}


def test_what_stands_in_the_label_is_text_and_no_html(file):
    _, buttons, status = widgets(predict("bold", choices=["<b>", "<i>"]))

    buttons["<b>"].click()

    assert "&lt;b&gt;" in status.value


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: predict("Wait at 90"), "name is 'Wait at 90'"),
        (lambda: predict("x", choices=["one"]), "2 to 8 different texts"),
        (lambda: predict("x", choices=["a", "a"]), "2 to 8 different texts"),
        (lambda: predict("x", "c", choices=["a", "b"]), r"x is 'c'; give one of \['a', 'b'\]"),
        (lambda: predict("x", float("nan")), "x is nan; give a number, zero or more, such as 40"),
        (lambda: predict("x", -1), "x is -1; give a number, zero or more, such as 40"),
        (lambda: predict("x", "40"), "x is '40'; give a number, zero or more, such as 40"),
        (lambda: predict("x", True), "x is True; give a number, zero or more, such as 40"),
    ],
)
def test_a_prediction_that_makes_no_sense_is_refused(file, call, complaint):
    with pytest.raises(InvalidValueError, match=complaint):
        call()

    assert not file.exists()


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": [1]}', '{"x": NaN}', '{"x": true}', ""])
def test_a_damaged_file_is_kept_aside_and_said(file, damage):
    file.parent.mkdir()
    file.write_text(damage, encoding="utf-8")

    with pytest.raises(GuessesFileError, match=r"it was kept as predictions\.broken-1\.json"):
        prediction("x")

    assert file.with_name("predictions.broken-1.json").read_text(encoding="utf-8") == damage
    assert prediction("x") is None


def test_a_second_damaged_file_does_not_take_the_place_of_the_first(file):
    file.parent.mkdir()
    for damage in ("first", "second"):
        file.write_text(damage, encoding="utf-8")
        with pytest.raises(GuessesFileError):
            prediction("x")

    kept = [file.with_name(f"predictions.broken-{number}.json").read_text(encoding="utf-8") for number in (1, 2)]
    assert kept == ["first", "second"]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(file, monkeypatch):
    keep_guess(file, "x", 1)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep_guess(file, "x", 2)

    assert read_guesses(file) == {"x": 1}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_guess_and_measurement_stand_side_by_side(file, capsys):
    predict("wait_at_90", 40)
    predict("who_waits", "the click", choices=["the click", "the timer"])

    measured("wait_at_90", 36.04, "ms")
    measured("who_waits", "the timer")
    measured("orders", 5331)
    measured("wait_at_100", float("inf"), "ms")

    assert capsys.readouterr().out.splitlines() == [
        "Your guess 40 ms, measured 36.04 ms",
        "Your guess “the click”, measured “the timer”",
        "No guess; measured 5,331",
        "No guess; measured inf ms",
    ]


@pytest.mark.parametrize(("folder", "kept"), [("work", "work"), ("notebooks", "work"), ("handed/in", "handed/in"), (".", "work")])
def test_guesses_are_kept_in_work_or_beside_the_notebook(tmp_path, monkeypatch, folder, kept):
    monkeypatch.delenv("EDAKIT_PREDICTIONS")
    for name in ("work", "notebooks", "handed/in"):
        (tmp_path / name).mkdir(parents=True)

    assert guesses_file(tmp_path / folder) == tmp_path / kept / "predictions.json"
