"""Plausible names for a contact centre: the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

FAMILIES = (
    "Sales", "Support", "Billing", "Technical", "Orders", "Returns", "Claims", "Retention",
    "Onboarding", "Reservations", "Deliveries", "Complaints", "Renewals", "Partners", "Warranty",
    "Accounts", "Payments", "Recruiting", "Dispatch", "Loyalty",
)  # fmt: skip
PLACES = (
    "EU", "UK", "US", "APAC", "Nordics", "DACH", "Iberia", "Benelux", "France", "Italy", "Poland",
    "Baltics", "Canada", "Australia", "Ireland", "Japan", "India", "Brazil", "Mexico", "Gulf",
)  # fmt: skip
TIERS = (
    "Tier 1", "Tier 2", "VIP", "Business", "Chat", "Email", "Callback", "Evenings", "Spanish", "French",
    "German", "Finnish", "Swedish", "Dutch", "Italian", "Polish",
)  # fmt: skip
BY_TIER = frozenset({"Support", "Technical", "Claims", "Warranty", "Complaints", "Accounts"})
FIRST = (
    "Aino", "Amira", "Ana", "Anders", "Aoife", "Bianca", "Björn", "Carlos", "Chidi", "Chloe", "Daniel",
    "Diego", "Elena", "Emeka", "Emma", "Eva", "Farid", "Fatima", "Felix", "Freya", "Grace", "Hana",
    "Hugo", "Ines", "Ivan", "Jamal", "Jan", "Joana", "Kaisa", "Karim", "Katya", "Kenji", "Lars",
    "Leila", "Liam", "Lucia", "Maeve", "Magnus", "Marek", "Maria", "Mei", "Mikko", "Milan", "Nadia",
    "Niamh", "Nora", "Oliver", "Omar", "Paula", "Pedro", "Priya", "Rafael", "Rania", "Rosa", "Ruben",
    "Sanna", "Sara", "Sofia", "Stefan", "Tariq", "Tomas", "Valentina", "Ville", "Yuki", "Zoe",
)  # fmt: skip
LAST = (
    "Abadi", "Adeyemi", "Almeida", "Andersson", "Bauer", "Becker", "Berg", "Bianchi", "Byrne", "Castro",
    "Chen", "Costa", "Dahl", "Diaz", "Dubois", "Eriksen", "Fernandez", "Fischer", "Garcia", "Haddad",
    "Hansen", "Heikkinen", "Ivanova", "Janssen", "Johansson", "Kaya", "Kim", "Klein", "Korhonen",
    "Kowalski", "Laine", "Larsen", "Lehtonen", "Lindqvist", "Lopez", "Mancini", "Mbeki", "Meyer",
    "Moreau", "Murphy", "Nakamura", "Nguyen", "Nieminen", "Novak", "Nowak", "Okafor", "Oliveira",
    "Patel", "Petrov", "Quinn", "Ramos", "Rossi", "Ruiz", "Saarinen", "Santos", "Schmidt", "Sharma",
    "Silva", "Tanaka", "Tremblay", "Virtanen", "Walsh", "Weber", "Williams", "Yilmaz", "Zhang",
)  # fmt: skip


def group_names(count: int) -> list[str]:
    """ "Sales Team", "Support Team" and so on; numbered when the families run out."""
    return [
        f"{FAMILIES[i % len(FAMILIES)]} Team" + (f" {i // len(FAMILIES) + 1}" if i >= len(FAMILIES) else "")
        for i in range(count)
    ]


def queue_names(count: int, groups: int) -> list[str]:
    """Queue `i` belongs to group `i % groups` and is named after its family: "Sales EU", "Support Tier 2"."""
    taken: set[str] = set()
    names = []
    for i in range(count):
        family = FAMILIES[i % groups % len(FAMILIES)]
        endings = TIERS + PLACES if family in BY_TIER else PLACES + TIERS
        nth = i // groups
        name = f"{family} {endings[nth % len(endings)]}"
        if nth >= len(endings) or name in taken:
            name = f"{name} {i + 1}"
        taken.add(name)
        names.append(name)
    return names


def agent_names(seed: int, count: int) -> Iterator[str]:
    """First and last names; a repeated name gets a middle initial."""
    rng = random.Random(f"names {seed}")
    taken: set[str] = set()
    for i in range(count):
        first, last = rng.choice(FIRST), rng.choice(LAST)
        name = f"{first} {last}"
        if name in taken:
            name = f"{first} {chr(65 + i % 26)}. {last}"
        if name in taken:
            name = f"{name} {i}"
        taken.add(name)
        yield name


def agent_ids(seed: int, count: int) -> Iterator[str]:
    """`ag` and some letters and digits, as in 8x8's samples."""
    rng = random.Random(f"ids {seed}")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    taken: set[str] = set()
    while len(taken) < count:
        id_ = "ag" + "".join(rng.choices(letters, k=12))
        if id_ not in taken:
            taken.add(id_)
            yield id_
