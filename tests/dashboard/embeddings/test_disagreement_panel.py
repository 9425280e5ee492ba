"""Cards of disagreement on the Embeddings page."""

import numpy as np
import pytest
from dashboard_fixtures import query, texts
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.components.embedding_map import selected_rows
from dashboard.maps import map_images
from simclr.analysis.disagreement import Card
from simclr.analysis.traits import Trait

CARD = Card(
    together=0,
    rows=np.array([3, 5, 8, 1]),
    similarity=0.82,
    elsewhere=0.03,
    spread=3,
    num_groups=4,
    p=0.001,
    traits=(Trait("class", "all are ring", 1e-4), Trait("hue", "pink in colour", 0.01)),
)


def cards_page() -> None:
    """The cards alone, beside no map."""
    from pathlib import Path

    import numpy as np
    import streamlit as st

    from dashboard.embeddings import disagreement_panel
    from dashboard.embeddings.choice import VIEW, Side
    from dashboard.shared import url_state
    from simclr.embeddings.neighbors import Nearest
    from simclr.embeddings.stored import Embedding

    url_state.enter("embeddings", ["embeddings"])
    VIEW.open()
    count = st.session_state["count"]
    nothing = Nearest(np.zeros((count, 1), dtype=np.int32), np.zeros((count, 1), dtype=np.float32))
    about = {"thumbnails": {"side": 4, "columns": 5, "per_sheet": 25, "sheets": ["nowhere.png"]}}
    one = Embedding(Path("a"), np.zeros((count, 3)), np.arange(count), None, {}, about, nothing, {}, None)
    disagreement_panel.find = lambda folders, digests: st.session_state["cards"]
    disagreement_panel.panel(
        [one, one], [Side("a", "a", "SimCLR <b>", "", "#123456"), Side("b", "b", "Scratch", "", "#654321")]
    )
    url_state.write(VIEW.changed("selection"))


def open_cards(cards: list[Card], count: int = 200) -> AppTest:
    app = AppTest.from_function(cards_page, default_timeout=30)
    app.session_state["cards"], app.session_state["count"] = cards, count
    return app.run()


def test_a_card_says_what_is_shared_by_whom_and_selects_its_images() -> None:
    app = open_cards([CARD])
    assert not app.exception
    assert "**All are ring; pink in colour**" in texts(app)
    assert "SimCLR <b> holds these 4 images together (cosine 0.82), Scratch scatters them over 3 of 4 groups" in texts(
        app
    )
    app.button("disagree-0").click().run()
    assert not app.exception
    assert selected_rows(query(app, "selection"), 200).tolist() == [1, 3, 5, 8]


def test_without_cards_or_with_few_images_it_says_so() -> None:
    assert "No group of images is held together by one" in texts(open_cards([]))
    assert "among at least 100 images" in texts(open_cards([CARD], count=60))


@pytest.mark.parametrize("rows", [[0, 7, 24, 26], [3]])
def test_a_contact_sheet_shows_the_tiles_of_these_images(tmp_path, rows) -> None:
    paths, tiles = [], np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint8)
    for number in range(2):
        grid = tiles[25 * number : 25 * number + 25].reshape(5, 5, 3).repeat(4, axis=0).repeat(4, axis=1)
        paths.append(tmp_path / f"thumbnails-{number}.png")
        Image.fromarray(grid).save(paths[-1])
    found = map_images.contact_sheet(paths, {"side": 4, "columns": 5, "per_sheet": 25}, rows, side=8, gap=2)
    assert found.shape == (8 + 10 * ((len(rows) - 1) // 3), 28, 4)
    for place, row in enumerate(rows):
        y, x = divmod(place, 3)
        assert found[10 * y + 3, 10 * x + 3, :3].tolist() == tiles[row].tolist()
    assert map_images.contact_sheet(paths, {"side": 4, "columns": 5, "per_sheet": 25}, [77], 8) is None
    paths[0].write_bytes(b"no picture")
    assert map_images.contact_sheet(paths, {"side": 4, "columns": 5, "per_sheet": 25}, [0], 8) is None
