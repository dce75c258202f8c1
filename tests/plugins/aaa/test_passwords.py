"""Kept passwords: every byte counts, and unknown users cost the same."""

from __future__ import annotations

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lts_web.plugins.aaa.passwords import UNUSABLE, PasswordHasher, broken_rules

HASHER = PasswordHasher(4)


@pytest.mark.req("SYS-015", "PLG-AAA")
@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_only_the_same_password_verifies(password: str, other: str) -> None:
    kept = HASHER.hash(password)
    assert HASHER.verify(password, kept)
    assert HASHER.verify(other, kept) == (other == password)
    assert password not in kept or len(password) < 3


@pytest.mark.parametrize(
    ("password", "other"),
    [
        ("a" * 72 + "b", "a" * 72 + "c"),
        ("\N{MONEY BAG}" * 64, "\N{MONEY BAG}" * 63),
        ("ab\0cd", "ab\0ce"),
        ("ab\0cd", "ab"),
        ("secret ", "secret"),
        ("\ud800", "\ud801"),
        ("é", "e\N{COMBINING ACUTE ACCENT}"),
        ("", "\0"),
    ],
)
def test_no_byte_is_dropped(password: str, other: str) -> None:
    kept = HASHER.hash(password)
    assert HASHER.verify(password, kept)
    assert not HASHER.verify(other, kept)


def test_the_same_password_is_kept_differently_each_time() -> None:
    assert HASHER.hash("same") != HASHER.hash("same")


@pytest.mark.parametrize(
    "kept", [None, "", UNUSABLE, "v1:", "v1:rubbish", "v1:$2b$04$short", "v9:x", "plain"]
)
def test_what_is_no_hash_opens_nothing_and_costs_the_same(
    kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[bytes] = []
    real = bcrypt.checkpw

    def counted(given: bytes, digest: bytes) -> bool:
        answer = real(given, digest)  # raises before any work for a malformed digest
        costs.append(digest[:7])
        return answer

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    assert not HASHER.verify(kept or "", kept)
    assert costs == [b"$2b$04$"]


def test_a_hash_of_another_cost_or_form_is_outdated_and_still_verifies() -> None:
    kept = PasswordHasher(5).hash("Password1")
    assert HASHER.verify("Password1", kept)
    assert HASHER.is_outdated(kept)
    assert HASHER.is_outdated("v0:whatever")
    assert not HASHER.is_outdated(HASHER.hash("Password1"))


@pytest.mark.req("SYS-015", "SYS-018")
@pytest.mark.parametrize(
    ("password", "broken"),
    [
        ("Abcdefg1", []),
        ("Abcdef1", ["8 characters"]),
        ("abcdefg1", ["capital"]),
        ("Abcdefgh", ["digit"]),
        ("", ["8 characters", "capital", "digit"]),
        ("A1" + "x" * 1023, ["at most 1024"]),
        ("Äöüäöüä1", []),
    ],
)
def test_each_broken_rule_is_told(password: str, broken: list[str]) -> None:
    problems = broken_rules(password, shortest=8, needs_uppercase=True, needs_digit=True)
    assert len(problems) == len(broken)
    assert all(word in problem for word, problem in zip(broken, problems, strict=True))


def test_rules_can_be_switched_off() -> None:
    assert not broken_rules("lowercase", shortest=8, needs_uppercase=False, needs_digit=False)
