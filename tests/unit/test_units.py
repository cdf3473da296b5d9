import pytest

from mapreduce.units import format_duration, format_size, parse_duration_s, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("64k", 65_536),
        ("64KB", 65_536),
        ("16MiB", 16 << 20),
        ("16 mib", 16 << 20),
        ("1.5G", 3 << 29),
        ("2TiB", 2 << 40),
    ],
)
def test_a_size_is_binary_whatever_its_suffix(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e6", "16 MiBs", "16Mx", "ib", "1i", "0.3k"])
def test_what_is_no_size_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("90", 90), ("1.5", 1.5), ("30s", 30), ("10m", 600), ("1h30m", 5_400), ("2d", 172_800), ("250ms", 0.25)],
)
def test_a_duration_is_seconds_or_numbers_with_units_in_a_row(text: str, duration_s: float) -> None:
    assert parse_duration_s(text) == duration_s


@pytest.mark.parametrize("text", ["", "s", "-5s", "1h 30m", "5x", "1h30", "h1"])
def test_what_is_no_duration_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KiB"), (1_536, "1.5 KiB"), (150 << 10, "150 KiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_are_shown_with_about_three_digits(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.04, "0.0 s"), (4.24, "4.2 s"), (42.4, "42 s"), (185, "3m05s"), (7_620, "2h07m"), (273_600, "3d04h")],
)
def test_durations_are_shown_as_people_say_them(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text
