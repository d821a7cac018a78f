"""Screening: names that are one person's, names that are not, the reasons given, and the measured quality held."""

from __future__ import annotations

import pytest

from compliance.aml.generator import pairs_make
from compliance.aml.normalise import tokens_of
from compliance.aml.screening import Listed, NameIndex, name_score
from tests.bench.screening_bench import by_kind, measure

THRESHOLD = 0.65


@pytest.mark.parametrize(
    ("_case", "one", "other"),
    [
        ("order and case", "Ivan Petrov", "PETROV, Ivan"),
        ("transliteration", "Yuri Shcherbakov", "Iouri Chtcherbakov"),
        ("other script", "Sergei Morozov", "Сергей Морозов"),
        ("typo", "Margaret Pemberton", "Margaret Pembreton"),
        ("initial", "Robert J. Whitcombe", "R. J. Whitcombe"),
        ("nickname", "William Hallorann", "Bill Hallorann"),
        ("written together", "Abd al-Rahman Hamdani", "Abdulrahman Hamdani"),
        ("title", "Dr. Khalid Mansour", "Khaled Mansur"),
        ("legal form", "Orion Trading LLC", "ORION TRADING CO. LTD."),
        ("full width", "Ｉｖａｎ Ｐｅｔｒｏｖ", "Ivan Petrov"),
    ],
)
def test_names_of_one_party_are_found(_case: str, one: str, other: str) -> None:
    assert name_score(one, other)[0] >= THRESHOLD


@pytest.mark.parametrize(
    ("_case", "one", "other"),
    [
        ("same surname", "Ivan Petrov", "Nikolai Petrov"),
        ("same given name", "Maria Lindqvist", "Maria Oliveira"),
        ("one shared word", "Muhammad", "Muhammad Darwish Qureshi"),
        ("other initial", "B. Petrov", "Ivan Petrov"),
        ("nothing", "Ingrid Moreau", "Khalid Mansour"),
    ],
)
def test_names_of_two_people_are_not(_case: str, one: str, other: str) -> None:
    assert name_score(one, other)[0] < THRESHOLD


def test_titles_and_forms_go_but_a_name_of_titles_stays() -> None:
    assert tokens_of("Sheikh Dr. O'Neill-Smith, Jr.") == ("oneill", "smith")
    assert tokens_of("General Co. Ltd.") == ("general", "co", "ltd")


def test_every_word_has_its_reason() -> None:
    _, pairs = name_score("Bill A. Whitcomb", "William Andrew Whitcombe")
    assert {(pair.query, pair.listed, pair.how) for pair in pairs} == {
        ("bill", "william", "nickname"),
        ("a", "andrew", "initial"),
        ("whitcomb", "whitcombe", "spelling"),
    }
    _, pairs = name_score("Ivan Petrov", "Ivan Sergeyevich Petrov")
    assert ("", "sergeyevich", "only on the list") in {(pair.query, pair.listed, pair.how) for pair in pairs}


@pytest.fixture
def index() -> NameIndex:
    return NameIndex(
        [
            Listed(1, "PETROV, Ivan", births=("1970-02-03",), countries=("Ruritania",)),
            Listed(1, "The Hammer", weak=True),
            Listed(2, "MANSUR, Khalid", births=("1960",)),
            Listed(3, "ORION TRADING LLC"),
        ]
    )


def test_a_party_is_one_hit_however_many_names_match(index: NameIndex) -> None:
    hits = index.screen("Ivan Petrov", threshold=THRESHOLD)
    assert [(hit.listed.key, hit.score) for hit in hits] == [(1, 1.0)]
    assert index.screen("", threshold=THRESHOLD) == []


def test_a_weak_alias_counts_less(index: NameIndex) -> None:
    hit = index.screen("The Hammer", threshold=THRESHOLD)[0]
    assert hit.score == pytest.approx(0.8)
    assert hit.notes == ("weak alias: × 0.8",)


@pytest.mark.parametrize(
    ("_case", "birth", "country", "score"),
    [
        ("nothing known", "", "", 0.9),
        ("same birth date", "1970-02-03", "", 0.93),
        ("a year apart", "1971-02-03", "", 0.9),
        ("two years apart", "1972-02-03", "", 0.75),
        ("another country", "", "Freedonia", 0.85),
        ("another birth and country", "1990-01-01", "Freedonia", 0.7),
    ],
)
def test_birth_and_country_move_the_score(_case: str, birth: str, country: str, score: float) -> None:
    from compliance.aml.screening import qualify

    listed = Listed(1, "x", births=("1970-02-03",), countries=("Ruritania",))
    assert qualify(0.9, listed, birth, country)[0] == pytest.approx(score)


def test_a_name_that_shares_no_key_is_still_found_by_looking_at_all(index: NameIndex) -> None:
    places = index.candidates(("petrxxv", "ixn"))
    assert 0 in places


@pytest.mark.parametrize("query", ["Iwan Petrow", "Petrov Ivan Mikhailovich", "I. Petrov", "Ivna Petrov"])
def test_the_index_loses_nothing_the_score_would_find(index: NameIndex, query: str) -> None:
    assert 1 in {hit.listed.key for hit in index.screen(query, threshold=THRESHOLD)}


def test_quality_on_the_half_the_threshold_was_not_chosen_on() -> None:
    pairs = pairs_make(1_200, seed=99)
    found = measure(lambda one, other: name_score(one, other)[0], pairs)
    assert found["f1"] >= 0.90
    assert min(by_kind(pairs, found["threshold"]).values()) >= 0.6


def test_the_index_finds_what_looking_at_every_name_finds() -> None:
    from itertools import islice

    pairs = [pair for pair in pairs_make(1_600, seed=5) if pair.same]
    index = NameIndex([Listed(place, pair.left) for place, pair in enumerate(pairs)])
    missed = 0
    for place, pair in islice(enumerate(pairs), 300):
        if name_score(pair.right, pair.left)[0] >= THRESHOLD:
            missed += place not in {hit.listed.key for hit in index.screen(pair.right, threshold=THRESHOLD)}
    assert missed == 0
