"""Argon2id. Source: REQUIREMENTS, U-1."""

from infra.passwords import Argon2Passwords

PASSWORDS = Argon2Passwords(memory_kib=64)


def test_only_the_hashed_password_fits() -> None:
    password_hash = PASSWORDS.hash("Secret1")
    assert PASSWORDS.verify(password_hash, "Secret1")
    assert not PASSWORDS.verify(password_hash, "secret1")
    assert not PASSWORDS.verify(password_hash, "")


def test_a_hash_is_salted_argon2id_and_does_not_hold_the_password() -> None:
    first, second = PASSWORDS.hash("Secret1"), PASSWORDS.hash("Secret1")
    assert first.startswith("$argon2id$")
    assert first != second
    assert "Secret1" not in first


def test_what_is_no_hash_fits_nothing() -> None:
    assert not PASSWORDS.verify("", "")
    assert not PASSWORDS.verify("Secret1", "Secret1")
    assert not PASSWORDS.verify("$argon2id$v=19$broken", "Secret1")


def test_by_default_hashing_takes_the_recommended_memory() -> None:
    assert "m=47104,t=1,p=1" in Argon2Passwords().hash("Secret1")


def test_passwords_of_all_writing_systems_and_lengths_fit() -> None:
    for password in ("密码Aa1密码", "x" * 1000, "pass word", "🔑Aa1"):
        assert PASSWORDS.verify(PASSWORDS.hash(password), password)
