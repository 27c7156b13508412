"""The server answers its own page with the token, and nobody else."""

import base64
import hashlib
import http.client
import io
import json
import re
import socket
import threading
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.explore import neighbors as neighbors_of
from multimodal_vae.explore.page import explore_page
from multimodal_vae.explore.server import HOST, LONGEST, Server
from multimodal_vae.explore.session import Session
from multimodal_vae.synthesis.marks import NOTICE


@contextmanager
def serving(session, title="run", with_real=False):
    with Server(session, explore_page(title, session, with_real)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def session(_trained):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(neighbors_of, "PER_CLASS", 12)
        yield Session(mv.open_run(_trained / "run").synthesizer("kde"))


@pytest.fixture(scope="module")
def server(session):
    with serving(session) as server:
        yield server


def ask(server, path, headers=None, method="GET", body=None):
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def permitted(server, path, **fields):
    """Ask as the page's script does."""
    headers = {"Authorization": f"Bearer {server.token}", "Origin": server.origin, "Sec-Fetch-Site": "same-origin"}
    return ask(server, f"{path}?view={quote(json.dumps(fields))}", headers)


def test_the_printed_address_gives_the_page_and_its_script_gets_pictures(server):
    assert server.server_address[0] == HOST
    status, headers, content = ask(server, server.address.removeprefix(server.origin), {"Sec-Fetch-Site": "none"})
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "All samples on this page are synthetic" in content.decode()
    status, _, content = permitted(server, "/sample", label="ill", seed=0)
    position = json.loads(content)
    status, headers, content = permitted(server, "/pictures", label="ill", seed=0, position=position, hidden="photo")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    answer = json.loads(content)
    assert (list(answer["pictures"]), list(answer["inferred"])) == (["photo", "blood"], ["photo"])
    assert len(json.loads(permitted(server, "/directions", label="ill")[2])) == len(position)
    assert permitted(server, "/neighbors", label="ill")[0] == 200
    status, headers, content = permitted(server, "/figure", label="ill", hidden="photo")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    with Pillow.open(io.BytesIO(content)) as picture:
        assert picture.text["Warning"] == NOTICE
        assert json.loads(picture.text["Description"])["label"] == "ill"


PATHS = ["/", "/pictures", "/sample", "/directions", "/neighbors", "/figure", "/none"]


@pytest.mark.parametrize("path", PATHS)
def test_a_request_without_the_token_is_refused(server, path):
    for query, headers in [
        ("", {}),
        ("?token=", {}),
        (f"?token={server.token[:-1]}", {}),
        ("", {"Authorization": f"Basic {server.token}"}),
        ("", {"Authorization": "Bearer \xe9"}),
        ("", {"Cookie": f"token={server.token}"}),
    ]:
        status, _, content = ask(server, path + query, headers)
        assert status == 403
        assert "the token is missing or wrong" in json.loads(content)["error"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "foreign",
    [
        {"Host": "evil.example"},
        {"Host": "localhost:1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_request_of_another_origin_is_refused_even_with_the_token(server, path, foreign):
    headers = {"Authorization": f"Bearer {server.token}", **foreign}
    status, answered, content = ask(server, f"{path}?token={server.token}&view=%7B%22label%22:%22ill%22%7D", headers)
    assert status == 403
    assert server.token.encode() not in content
    assert not any(name.startswith("Access-Control") for name in answered)


def test_no_answer_shares_itself_with_other_origins_or_stays_behind(server):
    answers = [
        permitted(server, "/pictures", label="ill"),
        ask(server, "/"),
        ask(server, "/", method="OPTIONS"),
        ask(server, "/", method="POST"),
    ]
    assert [each[0] for each in answers] == [200, 403, 501, 501]
    for _, headers, _ in answers:
        assert not any(name.startswith("Access-Control") or name == "Set-Cookie" for name in headers)
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_the_policy_allows_the_pages_own_script_and_style_alone(server):
    _, headers, content = ask(server, f"/?token={server.token}")
    page, policy = content.decode(), headers["Content-Security-Policy"]
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|src=|href=\"(?!data:,)|@import|url\(", page)


def test_names_from_the_data_are_text_and_no_markup(session):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(session, "classes", ["</script><img src=x>"])
        content = explore_page("<b>", session).content.decode()
    assert "<img src=x>" not in content
    assert "<b>" not in content


def test_faults_of_a_request_are_told_in_a_sentence(server):
    for path, fields, words in [
        ("/pictures", {"label": "dead"}, "there is no class 'dead'"),
        ("/pictures", {"label": "ill", "position": [7]}, "the view is invalid: position"),
        ("/figure", {}, "label"),
    ]:
        status, _, content = permitted(server, path, **fields)
        assert status == 400
        assert words in json.loads(content)["error"]
    assert permitted(server, "/none")[0] == 404


def test_sizes_are_bounded(server):
    token = {"Authorization": f"Bearer {server.token}"}
    assert ask(server, "/pictures?view=" + "x" * LONGEST, token)[0] == 414
    assert ask(server, "/pictures?" + "a=1&" * 20, token)[0] == 400
    assert ask(server, "/pictures", token, body=b"x")[0] == 413
    assert ask(server, "/pictures", token | {"Transfer-Encoding": "chunked"})[0] == 413
    assert ask(server, "/pictures", token | {f"X-{number}": "1" for number in range(200)})[0] == 431


def send(server, sent):
    """Send bytes, and return all that comes back."""
    with socket.create_connection((HOST, server.server_port), timeout=60) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_an_address_that_is_none_is_refused(server):
    assert send(server, b"GET http://[/pictures HTTP/1.1").startswith(b"HTTP/1.1 400 ")


@given(st.binary(max_size=200))
def test_the_server_outlives_any_bytes(server, sent):
    received = send(server, sent)
    assert b" 200 " not in received.partition(b"\r\n")[0]
    assert server.token.encode() not in received


def test_two_servers_have_different_tokens_and_share_no_port(session):
    with serving(session) as first, serving(session) as second:
        assert first.token != second.token
        assert len(first.token) >= 32
        assert ask(second, f"/?token={first.token}")[0] == 403
        with pytest.raises(ConfigurationError, match=f"port {first.server_port} cannot be used"):
            Server(session, explore_page("run", session), first.server_port)


def test_ctrl_c_ends_the_command(mmvae, trained, monkeypatch):
    def interrupted(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    status, out, err = mmvae("explore", trained, "--no-open")
    assert (status, err) == (0, "")
    first, *_, last = out.splitlines()
    address = urlsplit(first.removeprefix("explore: "))
    assert (address.scheme, address.hostname, last) == ("http", HOST, "ended")


def test_the_command_opens_the_printed_address(mmvae, trained, monkeypatch):
    opened = []
    monkeypatch.setattr(Server, "serve_forever", lambda _: None)
    monkeypatch.setattr("webbrowser.open", opened.append)
    status, out, _ = mmvae("explore", trained, "--with-real")
    assert status == 0
    assert opened == [out.splitlines()[0].removeprefix("explore: ")]
    status, _, err = mmvae("explore", trained, "--set", "site=here")
    assert status == 2
    assert err.startswith("mmvae: ")
