"""What must work on a real GPU: `make test-gpu`. None of it has ever run on one.

Without a GPU it fails at once and says so.
"""

import os

import pytest
import scenes
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    if not torch.cuda.is_available():
        pytest.fail("No GPU: torch finds none that it can use here.", pytrace=False)
    folder = tmp_path_factory.mktemp("real") / "runs"
    folder.mkdir()
    os.environ["SIMCLR_RUNS_DIR"] = str(folder)
    yield scenes.Stage("gpu", folder)
    del os.environ["SIMCLR_RUNS_DIR"]


@pytest.mark.parametrize("scene", scenes.SCENES, ids=lambda scene: scene.__name__)
def test_on_a_gpu(stage, scene):
    print(scene(stage))
