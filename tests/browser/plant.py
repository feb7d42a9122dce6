"""What the journeys know of the plant that they walk through."""

from uuid import UUID

MINUTE = 60_000
PRODUCT_ID = UUID("00000000-0000-4000-8000-000000000055")
"""TV55 in 一厂区, the only product; nothing is made in 二厂区."""
TRAINING_PARAMETERS = """{
    "classification": {
        "base_lr": 0.01,
        "batch_size": 8,
        "max_iter": %d
    }
}"""
"""A training of so many iterations."""
