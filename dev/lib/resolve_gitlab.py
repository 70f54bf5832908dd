"""Looks at the real GitLab that dev/quickstart was pointed at, and changes nothing there.

Reads GITLAB_URL, GITLAB_TOKEN_FILE, GITLAB_USER, GITLAB_PROJECT (and GITLAB_CA_FILE). Prints one JSON object with url,
user_id, username and project_path; or one sentence on stderr that says why no token may be minted there.
"""

import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT = 30  # Seconds for one answer.


class Refusal(Exception):
    """One sentence for the person who set the variables."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the administrator's token to wherever it points."""

    def redirect_request(self, *_):
        return None


class GitLab:
    def __init__(self, url, token, ca_file):
        self.url = url
        self.token = token
        context = ssl.create_default_context(cafile=ca_file)
        self.opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=context))

    def get(self, path):
        """The answer as JSON; None for a 404."""
        request = urllib.request.Request(f"{self.url}/api/v4{path}", headers={"PRIVATE-TOKEN": self.token})
        try:
            with self.opener.open(request, timeout=TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code == 401:
                raise Refusal(f"{self.url} does not accept the token in GITLAB_TOKEN_FILE (401).") from None
            raise Refusal(f"{self.url} answered GET {path} with {error.code}.") from None
        except (OSError, ValueError) as error:
            raise Refusal(f"{self.url} gives no usable answer to GET {path}: {error}.") from None


def checked_url(text):
    url = text.rstrip("/")
    parts = urllib.parse.urlsplit(url)
    on_loopback = parts.hostname in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and on_loopback):
        raise Refusal("GITLAB_URL must be https://host[:port][/path] (http:// on loopback alone).")
    if parts.username or parts.query or parts.fragment:
        raise Refusal("GITLAB_URL must be a plain URL, without user, query or fragment.")
    return url


def read_token(path):
    try:
        with open(path, encoding="ascii") as file:
            token = file.read().removesuffix("\n")
    except (OSError, ValueError):
        raise Refusal(f"GITLAB_TOKEN_FILE '{path}' cannot be read.") from None
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise Refusal(f"GITLAB_TOKEN_FILE '{path}' must hold one line, the token.")
    return token


def resolve_user(gitlab, wanted):
    """Of the same user always the numeric id: a username may be given to somebody else."""
    user_id = wanted
    if not re.fullmatch(r"\d+", wanted):
        found = gitlab.get("/users?" + urllib.parse.urlencode({"username": wanted})) or []
        exact = [user for user in found if user["username"].lower() == wanted.lower()]
        if len(exact) != 1:
            raise Refusal(f"{gitlab.url} knows no user '{wanted}' (GITLAB_USER).")
        user_id = exact[0]["id"]
    user = gitlab.get(f"/users/{user_id}")
    if user is None:
        raise Refusal(f"{gitlab.url} knows no user {wanted} (GITLAB_USER).")
    return user


def check_user(user, owner):
    name = f"{user['username']} (id {user['id']})"
    if user["id"] == owner["id"]:
        raise Refusal(f"GITLAB_USER {name} owns the token in GITLAB_TOKEN_FILE: choose an ordinary user.")
    if "is_admin" not in user:  # GitLab tells it to administrators alone.
        raise Refusal("The token in GITLAB_TOKEN_FILE is not an administrator's, or lacks the scope admin_mode.")
    if user["is_admin"]:
        raise Refusal(f"GITLAB_USER {name} is an administrator: choose an ordinary user.")
    if user.get("state") != "active":
        raise Refusal(f"GITLAB_USER {name} is {user.get('state', 'not active')}: choose an active user.")


def main():
    url = checked_url(os.environ["GITLAB_URL"])
    gitlab = GitLab(url, read_token(os.environ["GITLAB_TOKEN_FILE"]), os.environ.get("GITLAB_CA_FILE") or None)
    owner = gitlab.get("/user")
    if owner is None:
        raise Refusal(f"{url} is no GitLab: it has no /api/v4/user.")
    user = resolve_user(gitlab, os.environ["GITLAB_USER"])
    check_user(user, owner)
    path = os.environ["GITLAB_PROJECT"].strip("/")
    project = gitlab.get("/projects/" + urllib.parse.quote(path, safe=""))
    if project is None:
        raise Refusal(f"{url} has no project '{path}' (GITLAB_PROJECT).")
    if project.get("visibility", "private") != "private":
        raise Refusal(f"GITLAB_PROJECT '{path}' is {project['visibility']}: choose a private one.")
    print(json.dumps({"url": url, "user_id": user["id"], "username": user["username"],
                      "project_path": project["path_with_namespace"]}))


if __name__ == "__main__":
    try:
        main()
    except Refusal as refusal:
        sys.exit(str(refusal))
