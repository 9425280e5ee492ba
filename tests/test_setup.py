"""The two lines that the README gives to those without `make`, in an environment that has nothing yet."""

import os
import re
import shutil
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from chromium import wait_until_served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_lines_of_the_readme_set_everything_up(tmp_path):
    install, serve = re.search(r"\n    (pip install .*)\n    (streamlit run .*)\n", README).groups()
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__", "cache"))
    shutil.copytree(ROOT / "dashboard" / ".streamlit", checkout / "dashboard" / ".streamlit", dirs_exist_ok=True)
    venv.create(tmp_path / "venv", with_pip=True)
    environment = {
        "PATH": f"{tmp_path / 'venv' / 'bin'}{os.pathsep}/usr/bin:/bin",
        "HOME": str(tmp_path),
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))},
    }
    subprocess.run(install.split(), cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log.txt"
    command = [*serve.split(), "--server.port", str(port), "--server.headless", "true"]
    with log.open("wb") as stream:
        server = subprocess.Popen(command, cwd=checkout, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_until_served(f"http://127.0.0.1:{port}", log)
    finally:
        server.terminate()
        server.wait(30)
    assert "Error" not in log.read_text()
    run = ["python", "-m", "simclr", "runs", "--runs_dir", "runs/examples"]
    found = subprocess.run(run, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    assert "cifar10_jpeg" in found.stdout
    assert sys.prefix not in found.stderr
