"""Who has said nothing for too long: T-6."""

from infra.silence import Silence

SECONDS = 15.0


class Listener:
    """Somebody who looks every second, on a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.silence = Silence[str](SECONDS, clock=lambda: self.now)

    def look(self, seconds: float = 1.0, /, **signs: object) -> list[str]:
        """After so many seconds."""
        self.now += seconds
        return self.silence.of(signs)

    def look_for(self, seconds: int, **signs: object) -> list[str]:
        """Every second, for so long."""
        return [one for _ in range(seconds) for one in self.look(1.0, **signs)]


def test_who_gives_the_same_sign_for_longer_than_that_is_silent() -> None:
    listener = Listener()
    assert listener.look_for(16, a="09:00", b=None) == []
    assert listener.look(a="09:00", b="09:01") == ["a"]
    assert listener.look_for(15, a="09:02", b="09:01") == []
    assert listener.look(a="09:02", b="09:01") == ["b"]


def test_a_clock_that_is_set_makes_nobody_silent() -> None:
    listener = Listener()
    listener.look_for(10, a="09:00")
    assert listener.look_for(15, a="08:00") == []  # of the database that stamps the signs
    assert listener.look_for(15, a="17:00") == []


def test_who_stood_still_has_heard_nobody_and_begins_anew() -> None:
    listener = Listener()
    listener.look_for(10, a="09:00")
    assert listener.look(60.0, a="09:00") == []
    assert listener.look_for(15, a="09:00") == []
    assert listener.look(a="09:00") == ["a"]


def test_after_a_time_in_which_nobody_could_be_heard_everybody_has_the_whole_time_again() -> None:
    listener = Listener()
    listener.look_for(10, a="09:00")
    listener.silence.begin_anew()
    assert listener.look_for(16, a="09:00") == []
    assert listener.look(a="09:00") == ["a"]


def test_who_comes_back_to_the_line_is_new_there() -> None:
    listener = Listener()
    listener.look_for(10, a="09:00")
    listener.look()
    assert listener.look_for(16, a="09:00") == []
