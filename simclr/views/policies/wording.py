"""Operations of policies in words (no torch)."""

from __future__ import annotations

from simclr.config.augmentation import Policy

TITLES = {"color": "Colour", "autocontrast": "Auto-contrast", "translate_x": "Shift x", "translate_y": "Shift y"}
POLICIES: dict[Policy, str] = {"randaugment": "RandAugment", "autoaugment_cifar": "AutoAugment, CIFAR-10"}


def title(operation: str) -> str:
    """`shear_x` as a heading."""
    return TITLES.get(operation, operation.replace("_", " ").capitalize())


def strength_text(operation: str, strength: float) -> str:
    """How strong it is, as `PolicyDraw` has it; empty where it has no strength."""
    if operation.startswith("shear"):
        return f"{strength:+.2f} px per px"
    if operation.startswith("translate"):
        return f"{100 * strength:+.0f} % of the side"
    if operation == "rotate":
        return f"{strength:+.0f}° anticlockwise"
    if operation in ("brightness", "color", "contrast", "sharpness"):
        return f"× {strength:.2f}"
    if operation == "posterize":
        return f"{strength:.0f} bits kept"
    if operation == "solarize":
        return f"inverted from {strength:.0f} on"
    return {"identity": "nothing to do", "invert": "colours reversed"}.get(operation, "each colour by itself")


def short_strength(operation: str, strength: float) -> str:
    """The same where there is little room."""
    text = strength_text(operation, strength).replace("inverted from ", "≥ ")
    for words in (" px per px", " of the side", " anticlockwise", " kept", " on"):
        text = text.replace(words, "")
    return text if any(letter.isdigit() for letter in text) else ""
