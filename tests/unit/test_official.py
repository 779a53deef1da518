import http.server
import logging
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from dataset_helpers import md5, snapshot

from memflow.data import official
from memflow.data.official import OfficialFile, Publication, data_root, obtain, verified
from memflow.data.prepared import DatasetError

CONTENT = b"official content" * 1000
PUBLICATION = Publication("Example", "https://example.org/page", "data.bin")
NOWHERE = "http://127.0.0.1:9/data.bin"  # nothing listens on the port that discards


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Breaking(Files):
    """Announces all of the content, but closes the connection after its start."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100])


@contextmanager
def serving(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/data.bin"
        server.shutdown()


@pytest.fixture
def served(tmp_path):
    """A folder whose files a local server gives, and the server's address."""
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(partial(Files, directory=folder)) as address:
        yield folder, address


def get(root, *urls, download=True):
    file = OfficialFile("folder/data.bin", md5(CONTENT), urls)
    reader = partial(verified, root / file.path, file.md5)
    return obtain(PUBLICATION, root, [reader], download=file if download else None)


def test_the_root_is_the_option_or_the_variable_or_a_folder_here(monkeypatch):
    monkeypatch.setenv("MEMFLOW_DATA", "/variable")
    assert data_root("/option") == Path("/option")
    assert data_root(None) == Path("/variable")
    monkeypatch.delenv("MEMFLOW_DATA")
    assert data_root(None) == Path("downloads")
    assert data_root("~/data") == Path.home() / "data"


def test_a_download_is_checked_and_then_used_again(served, tmp_path, caplog):
    folder, url = served
    (folder / "data.bin").write_bytes(CONTENT)
    caplog.set_level(logging.INFO, "memflow")
    path = get(tmp_path, url)
    assert path.read_bytes() == CONTENT
    assert f"downloading {url}" in caplog.text
    before = snapshot(tmp_path)
    assert get(tmp_path, NOWHERE) == path
    assert snapshot(tmp_path) == before


def test_the_next_address_is_tried(served, tmp_path):
    folder, url = served
    (folder / "data.bin").write_bytes(CONTENT)
    assert get(tmp_path, NOWHERE, url + ".gone", url).read_bytes() == CONTENT


@pytest.mark.parametrize("sent", [CONTENT[:-1], CONTENT[::-1], b""])
def test_a_wrong_download_is_refused_and_leaves_nothing(served, tmp_path, sent):
    folder, url = served
    (folder / "data.bin").write_bytes(sent)
    root = tmp_path / "root"
    with pytest.raises(DatasetError, match=f"{len(sent)} bytes with md5 {md5(sent)} came.*{md5(CONTENT)}"):
        get(root, url)
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_connection_that_breaks_is_refused_and_leaves_nothing(tmp_path):
    with serving(Breaking) as url, pytest.raises(DatasetError, match="the download failed"):
        get(tmp_path, url)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_the_internet_the_message_helps_and_nothing_is_written(tmp_path):
    root = tmp_path / "root"
    with pytest.raises(DatasetError) as caught:
        get(root, NOWHERE)
    message = str(caught.value)
    for part in ("Example", str(root), "there is no folder/data.bin", NOWHERE, "Connection refused", "Put data.bin"):
        assert part in message
    for part in ("`root`", "MEMFLOW_DATA", "https://example.org/page"):
        assert part in message
    assert not root.exists()


def test_without_download_nothing_is_tried(tmp_path):
    with pytest.raises(DatasetError, match=r"there is no folder/data\.bin\. Put") as caught:
        get(tmp_path, NOWHERE, download=False)
    assert "failed" not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(official, "TIMEOUT", 0.2)
    with http.server.HTTPServer(("127.0.0.1", 0), None) as silent, pytest.raises(DatasetError, match="timed out"):
        get(tmp_path, f"http://127.0.0.1:{silent.server_address[1]}/data.bin")


def test_a_damaged_file_is_named_and_neither_used_nor_replaced(served, tmp_path):
    folder, url = served
    (folder / "data.bin").write_bytes(CONTENT)
    partial_download = tmp_path / "folder" / "data.bin"
    partial_download.parent.mkdir()
    partial_download.write_bytes(CONTENT[:100])
    with pytest.raises(DatasetError) as caught:
        get(tmp_path, url)
    for part in (str(partial_download), "(100 bytes)", md5(CONTENT[:100]), md5(CONTENT), "Delete what is damaged"):
        assert part in str(caught.value)
    assert partial_download.read_bytes() == CONTENT[:100]


def test_an_intact_form_is_used_although_another_is_damaged(tmp_path, caplog):
    (tmp_path / "bad").write_bytes(b"x")
    (tmp_path / "good").write_bytes(CONTENT)
    readers = [partial(verified, tmp_path / name, md5(CONTENT)) for name in ("absent", "bad", "good")]
    assert obtain(PUBLICATION, tmp_path, readers, download=None) == tmp_path / "good"
    assert "bad (1 bytes) has md5" in caplog.text
    assert "another, intact form is used" in caplog.text


def test_a_folder_that_nobody_may_look_into_is_named(tmp_path):
    def read():
        raise PermissionError(13, "Permission denied", "/closed")

    with pytest.raises(DatasetError, match=r"/closed cannot be read .Permission denied"):
        obtain(PUBLICATION, tmp_path, [read], download=None)


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path):
    (tmp_path / "folder" / "data.bin").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"data\.bin cannot be read \(Is a directory\)"):
        get(tmp_path)
