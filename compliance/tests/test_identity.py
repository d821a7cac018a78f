"""Machine-readable zones, with the specimens of ICAO Doc 9303, and ages at their boundaries."""

from __future__ import annotations

from datetime import date

import pytest

from compliance.identity import DetailError, age_check, check_digit, iban_check, mrz_read, tax_number_check

TODAY = date(2011, 6, 1)
TD3 = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
TD1 = "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"


@pytest.mark.parametrize(("form", "text", "number"), [("TD3", TD3, "L898902C3"), ("TD1", TD1, "D23145890")])
def test_the_specimens_are_read(form: str, text: str, number: str) -> None:
    zone = mrz_read(text, today=TODAY)
    assert (zone.form, zone.number, zone.issuer, zone.sex) == (form, number, "UTO", "F")
    assert (zone.surname, zone.given_names) == ("ERIKSSON", "ANNA MARIA")
    assert (zone.born, zone.expires) == (date(1974, 8, 12), date(2012, 4, 15))


def test_every_single_digit_that_is_wrong_in_the_checked_part_is_found() -> None:
    first, second = TD3.splitlines()
    for place in (*range(0, 10), *range(13, 20), *range(21, 44)):
        if second[place].isdigit():
            wrong = str((int(second[place]) + 1) % 10)
            with pytest.raises(DetailError):
                mrz_read(f"{first}\n{second[:place]}{wrong}{second[place + 1 :]}", today=TODAY)


def test_a_card_with_a_long_number_is_read() -> None:
    number = "D2314589012"
    digit = check_digit(number)
    first = f"I<UTO{number[:9]}<{number[9:]}{digit}".ljust(30, "<")
    second = "7408122F1204159UTO" + "<" * 11
    second += check_digit(first[5:30] + second[0:7] + second[8:15] + second[18:29])
    assert mrz_read("\n".join([first, second, TD1.splitlines()[2]]), today=TODAY).number == number


@pytest.mark.parametrize(
    ("_case", "text"),
    [
        ("one line", TD3.splitlines()[0]),
        ("not a passport", "X" + TD3[1:]),
        ("a strange character", TD3.replace("L898902C3", "L89890?C3")),
        ("empty", ""),
        ("a month that is not", TD1.replace("740812", "741312")),
    ],
)
def test_other_zones_are_refused(_case: str, text: str) -> None:
    with pytest.raises(DetailError):
        mrz_read(text, today=TODAY)


@pytest.mark.parametrize(
    ("born", "old_enough"),
    [(date(1993, 6, 1), True), (date(1993, 6, 2), False), (date(2011, 6, 2), False), (date(1890, 1, 1), False)],
)
def test_the_birthday_itself_is_old_enough(born: date, old_enough: bool) -> None:
    if old_enough:
        age_check(born, today=TODAY, minimum=18)
    else:
        with pytest.raises(DetailError):
            age_check(born, today=TODAY, minimum=18)


@pytest.mark.parametrize(
    ("country", "number"),
    [("DE", "36 574 261 809"), ("GB", "1955839661"), ("PL", "44051401359"), ("US", "219-09-9998"), ("ZZ", "ab 12")],
)
def test_tax_numbers_that_are_right(country: str, number: str) -> None:
    assert tax_number_check(country, number)


@pytest.mark.parametrize(
    ("country", "number"), [("DE", "36574261808"), ("PL", "44051401358"), ("ZZ", "123"), ("ZZ", "x" * 31)]
)
def test_tax_numbers_that_are_wrong(country: str, number: str) -> None:
    with pytest.raises(DetailError):
        tax_number_check(country, number)


def test_every_country_with_a_rule_has_its_module() -> None:
    from importlib import import_module

    from compliance.identity import TAX_NUMBERS

    assert all(callable(import_module(f"stdnum.{name}").validate) for name in TAX_NUMBERS.values())


def test_an_iban_is_told_by_its_check_digits() -> None:
    assert iban_check("DE89 3704 0044 0532 0130 00") == "DE89370400440532013000"
    with pytest.raises(DetailError):
        iban_check("DE89 3704 0044 0532 0130 01")
