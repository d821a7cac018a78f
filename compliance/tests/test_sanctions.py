"""Lists: the official forms with their traps, versions and deltas, clients against them, hits and the good-guy list."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.models import AuditPending
from compliance.aml.generator import list_write
from compliance.aml.lists import ListError, births_of, csv_read, folder_read, xml_read
from compliance.models import GoodGuy, KycCase, SanctionsList, ScreeningHit
from compliance.policy import policy
from compliance.services.kyc import State
from compliance.services.risk import band_of, case_score, risk_parts
from compliance.services.sanctions import (
    case_screen,
    clients_rescreen,
    hit_decide,
    index_forget,
    list_load,
    name_screen,
)
from compliance.tests.factories import ANSWERS, case_filled, officer_make

NULLS = ",".join(['"-0- "'] * 7)


def row(number: int, name: str, kind: str = "individual", remarks: str = "-0- ") -> str:
    return f'{number},"{name}","{kind}","DEMO] [OTHER",{NULLS},"{remarks}"\r\n'


def folder_make(folder: Path, rows: list[str], **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sdn.csv").write_bytes("".join(rows).encode() + b"\x1a\r\n")
    for name, text in files.items():
        (folder / f"{name}.csv").write_bytes(text.encode() + b"\x1a")
    return folder


@pytest.fixture(autouse=True)
def fresh_index() -> None:
    index_forget()


def test_the_traps_of_the_csv_form(tmp_path: Path) -> None:
    folder = folder_make(
        tmp_path,
        [
            row(7, "NEWMAN, Nora", remarks="DOB 17 May 1990; nationality Ruritania; a.k.a. 'NN'; DOB ci"),
            row(8, "ORION LLC", "-0- "),
        ],
        sdn_comments='7,"rca 1955; POB Nowhere."\r\n',
        alt='7,70,"aka","NEUMANN, Nora","-0- "\r\n9,90,"aka","NOBODY","-0- "\r\n',
        add='7,71,"1 Street","-0- ","Freedonia","-0- "\r\n8,81,"-0- ","-0- ","-0- ","-0- "\r\n',
    )
    first, second = csv_read(folder)
    assert first.names == [("NEWMAN, Nora", False), ("NN", True), ("NEUMANN, Nora", False)]
    assert first.programs == "DEMO; OTHER"
    assert first.countries == ["Ruritania", "Freedonia"]
    assert (second.kind, second.remarks, second.countries) == ("entity", "", [])
    # The remark went on in the other file in the middle of a word.
    assert first.births[0] == "1990-05-17"


@pytest.mark.parametrize(
    ("text", "births"),
    [
        ("DOB 12 Aug 1974; POB X.", ["1974-08-12"]),
        ("DOB circa 1960.", ["1960"]),
        ("DOB 1955 to 1957.", ["1955", "1956", "1957"]),
        ("DOB Mar 1961; alt. DOB 1962.", ["1961", "1962"]),
        ("POB Town of 1974.", []),
    ],
)
def test_birth_dates_in_remarks(text: str, births: list[str]) -> None:
    assert births_of(text) == births


@pytest.mark.parametrize(
    ("_case", "content", "said"),
    [("a short line", "1,2\r\n", "columns"), ("no number", "x" + row(1, "A")[1:], "number"), ("nobody", "", "nobody")],
)
def test_a_damaged_list_is_refused_with_its_place(tmp_path: Path, _case: str, content: str, said: str) -> None:
    with pytest.raises(ListError, match=said):
        folder_read(folder_make(tmp_path, [content]))


XML = """<?xml version="1.0" encoding="utf-8"?>
<Sanctions xmlns="http://www.un.org/sanctions/1.0"><ReferenceValueSets>
<PartySubTypeValues><PartySubType ID="4" PartyTypeID="1">Individual</PartySubType></PartySubTypeValues>
<FeatureTypeValues><FeatureType ID="8">Birthdate</FeatureType></FeatureTypeValues></ReferenceValueSets>
<DistinctParties><DistinctParty FixedRef="7"><Profile ID="7" PartySubTypeID="4"><Identity>
<Alias Primary="false" LowQuality="true"><DocumentedName><DocumentedNamePart>
<NamePartValue>NN</NamePartValue></DocumentedNamePart></DocumentedName></Alias>
<Alias Primary="true" LowQuality="false">
<DocumentedName><DocumentedNamePart><NamePartValue>NEWMAN</NamePartValue></DocumentedNamePart>
<DocumentedNamePart><NamePartValue>Nora</NamePartValue></DocumentedNamePart></DocumentedName></Alias></Identity>
<Feature FeatureTypeID="8"><FeatureVersion><DatePeriod><Start><From>
<Year>1990</Year><Month>5</Month><Day>17</Day></From></Start>
</DatePeriod></FeatureVersion></Feature></Profile></DistinctParty>
<DistinctParty FixedRef="8"><Profile ID="8" PartySubTypeID="9"><Identity><Alias Primary="true" LowQuality="false"><DocumentedName>
<DocumentedNamePart><NamePartValue>Орион</NamePartValue></DocumentedNamePart></DocumentedName></Alias></Identity></Profile></DistinctParty>
</DistinctParties></Sanctions>"""


def test_the_xml_form_gives_the_same_parties(tmp_path: Path) -> None:
    path = tmp_path / "sdn_advanced.xml"
    path.write_text(XML)
    first, second = xml_read(path)
    assert (first.ent_num, first.kind, first.births) == (7, "individual", ["1990-05-17"])
    assert first.names == [("NEWMAN Nora", False), ("NN", True)]
    assert (second.kind, second.names) == ("entity", [("Орион", False)])


@pytest.mark.parametrize(
    ("_case", "text"),
    [
        ("cut off", XML[:900]),
        ("entity bomb", XML.replace("<Sanctions", '<!DOCTYPE x [<!ENTITY a "b">]><Sanctions', 1)[:-30]),
    ],
)
def test_a_damaged_xml_is_refused(tmp_path: Path, _case: str, text: str) -> None:
    path = tmp_path / "sdn_advanced.xml"
    path.write_text(text)
    with pytest.raises(ListError):
        list(xml_read(path))


def test_the_made_up_list_is_the_same_every_time_and_in_the_official_form(tmp_path: Path) -> None:
    list_write(tmp_path / "a", entries=200)
    list_write(tmp_path / "b", entries=200)
    parties, digest = folder_read(tmp_path / "a")
    assert (len(parties), digest) == (200, folder_read(tmp_path / "b")[1])
    raw = (tmp_path / "a" / "sdn.csv").read_bytes()
    assert raw.endswith(b"\x1a\r\n")
    assert b"-0- " in raw
    assert all("Made-up" in party.remarks for party in parties)


@pytest.mark.django_db
def test_a_load_swaps_versions_and_says_what_changed(tmp_path: Path) -> None:
    first = list_load(folder=folder_make(tmp_path / "1", [row(1, "A ONE"), row(2, "B TWO"), row(3, "C THREE")]))
    assert (first.entries, len(first.added)) == (3, 3)
    again = list_load(folder=tmp_path / "1")
    assert (again.fresh, again.version) == (False, first.version)
    second = list_load(
        folder=folder_make(tmp_path / "2", [row(1, "A ONE"), row(2, "B TWO", remarks="DOB 1950."), row(4, "D FOUR")])
    )
    assert (second.added, second.changed, second.removed) == ((4,), (2,), (3,))
    assert list(SanctionsList.objects.filter(active=True).values_list("pk", flat=True)) == [second.version]
    assert [hit.listed.key for hit in name_screen("D Four")] == [4]
    assert AuditPending.objects.filter(action="sanctions_list.loaded").count() == 2
    list_load(folder=folder_make(tmp_path / "3", [row(1, "A ONE")]))
    assert SanctionsList.objects.count() == 2


@pytest.mark.django_db
def test_a_damaged_file_leaves_the_version_that_was(tmp_path: Path) -> None:
    first = list_load(folder=folder_make(tmp_path / "1", [row(1, "A ONE")]))
    with pytest.raises(ListError):
        list_load(folder=folder_make(tmp_path / "2", [row(1, "A ONE"), "2,x\r\n"]))
    assert SanctionsList.objects.get(active=True).pk == first.version


@pytest.mark.django_db
def test_the_command_loads_a_folder_and_never_puts_made_up_names_over_real_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("load_sanctions", str(folder_make(tmp_path, [row(1, "A ONE")])))
    call_command("load_sanctions", "--made-up")
    assert "nothing made up" in capsys.readouterr().out
    assert SanctionsList.objects.get().made_up is False
    with pytest.raises(CommandError):
        call_command("load_sanctions", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError):
        call_command("load_sanctions")


@pytest.mark.django_db
def test_without_a_list_nobody_is_found() -> None:
    assert name_screen("Nora Newman") == []


def hit_made(tmp_path: Path) -> ScreeningHit:
    list_load(folder=folder_make(tmp_path / "l", [row(1, "NEUMAN, Nora", remarks="DOB 1990.")]))
    case = case_filled()
    assert case_screen(case) == 1
    assert case_screen(case) == 0
    return ScreeningHit.objects.get(case=case)


@pytest.mark.django_db
def test_not_the_same_stays_quiet_until_the_party_changes(tmp_path: Path) -> None:
    hit = hit_made(tmp_path)
    assert {entry.get("how") for entry in hit.explanation} >= {"same", "spelling"}
    hit_decide(hit_id=hit.pk, officer=officer_make(), same=False, reason="other birth place")
    assert GoodGuy.objects.get().ent_num == 1
    ScreeningHit.objects.all().delete()
    assert case_screen(hit.case) == 0
    list_load(folder=folder_make(tmp_path / "m", [row(1, "NEUMAN, Nora", remarks="DOB 17 May 1990.")]))
    assert case_screen(hit.case) == 1
    with pytest.raises(RejectedError) as error:
        hit_decide(hit_id=ScreeningHit.objects.get().pk, officer=hit.case.user, same=False, reason="it is not me")
    assert error.value.code == RejectCode.SECOND_REVIEWER


@pytest.mark.django_db
def test_the_same_is_prohibited(tmp_path: Path) -> None:
    hit = hit_made(tmp_path)
    hit_decide(hit_id=hit.pk, officer=officer_make(), same=True, reason="same birth date")
    case = KycCase.objects.get(pk=hit.case_id)
    assert (case.risk_band, case.risk_score) == ("prohibited", 100)
    with pytest.raises(RejectedError) as error:
        hit_decide(hit_id=hit.pk, officer=officer_make(), same=False, reason="changed my mind")
    assert error.value.code == RejectCode.KYC_STATE


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "   x  "])
def test_a_hit_is_decided_with_a_reason(tmp_path: Path, reason: str) -> None:
    with pytest.raises(RejectedError) as error:
        hit_decide(hit_id=hit_made(tmp_path).pk, officer=officer_make(), same=True, reason=reason)
    assert error.value.code == RejectCode.MISSING_FIELD


@pytest.mark.django_db
def test_an_approved_client_who_comes_on_a_list_goes_to_an_officer(tmp_path: Path) -> None:
    case = case_filled()
    KycCase.objects.filter(pk=case.pk).update(state=State.APPROVED, tier=1)
    list_load(folder=folder_make(tmp_path / "1", [row(1, "SOMEBODY, Else")]))
    loaded = list_load(folder=folder_make(tmp_path / "2", [row(1, "SOMEBODY, Else"), row(2, "NEWMAN, Nora")]))
    assert clients_rescreen([1]) == 0
    assert clients_rescreen(list(loaded.added)) == 1
    case.refresh_from_db()
    assert (case.state, case.reason_code) == (State.REVIEW, "screening_hit")


# the risk score


def parts(**more: object) -> dict[str, int]:
    given = {
        "address": ANSWERS["address"], "identity": ANSWERS["identity"], "suitability": ANSWERS["suitability"],
        "tier_sought": 1, "best_hit": 0, "true_match": False,
    } | more  # fmt: skip
    return {part.name: part.points for part in risk_parts(**given)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("_case", "more", "part", "points"),
    [
        ("ordinary", {}, "geography", 0),
        ("watched country", {"address": {"country": "VN"}}, "geography", 15),
        ("high-risk nationality", {"identity": {"nationality": "IR"}}, "geography", 25),
        ("open hit", {"best_hit": 80}, "screening", 20),
        ("true match", {"true_match": True}, "screening", 25),
        ("enhanced tier", {"tier_sought": 3}, "product", 10),
        ("funds from crypto", {"suitability": {"funds_from": "crypto"}}, "customer", 10),
        (
            "student with a lot",
            {"suitability": {"occupation": "student", "expected_deposit": "over_250k"}},
            "anomaly",
            5,
        ),
    ],
)
def test_each_part_of_the_score(_case: str, more: dict[str, object], part: str, points: int) -> None:
    assert parts(**more)[part] == points


@pytest.mark.parametrize(
    ("score", "band"), [(0, "low"), (29, "low"), (30, "medium"), (59, "medium"), (60, "high"), (100, "high")]
)
def test_the_bands_at_their_boundaries(score: int, band: str) -> None:
    assert band_of(score) == band


def test_no_part_is_above_its_weight_and_the_weights_make_a_hundred() -> None:
    worst = risk_parts(
        address={"country": "IR"}, identity={"nationality": "KP"}, tier_sought=3, best_hit=100, true_match=True,
        suitability={"occupation": "student", "expected_deposit": "over_250k", "funds_from": "other"},
    )  # fmt: skip
    assert all(0 <= part.points <= part.of for part in worst)
    assert sum(part.of for part in worst) == 100
    assert sum(policy().body["risk"]["weights"].values()) == 100


@pytest.mark.django_db
def test_a_case_keeps_its_score_with_the_reasons() -> None:
    case = case_filled(address={"country": "VN"}, suitability={"funds_from": "crypto", "expected_deposit": "over_250k"})
    assert case_score(case) == 15 + 10 + 15
    case.refresh_from_db()
    assert case.risk_band == "medium"
    assert [row["reason"] for row in case.risk_parts if row["name"] == "geography"] == ["country under monitoring: VN"]
