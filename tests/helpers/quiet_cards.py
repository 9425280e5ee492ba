"""For tests of the Embeddings page: cards that are not there are not looked for in the background of each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from simclr.analysis import cards
from simclr.config import ConfigError


@pytest.fixture(autouse=True)
def no_cards_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job for cards can be started."""

    def refuse(*_: object) -> Path:
        raise ConfigError("not in this test")

    monkeypatch.setattr(cards, "start_job", refuse)
