"""python-gitlab, which nobody here wrote, against the simulator.

A client written for the real GitLab must find its way: create, list over several pages, get, rotate, revoke, and read
the errors. Usage: python_gitlab_test.py PATH_OF_GITLAB_SIM
"""

import datetime
import json
import subprocess
import sys
import unittest
import urllib.request

import gitlab

SIMULATOR = ""
VERSIONS = ("17.11.7", "18.11.5", "19.0.2")


class Simulator:
    """The simulator as a process of its own, seeded over its management port."""

    def __init__(self, version):
        self.process = subprocess.Popen([SIMULATOR, "--version", version], stdout=subprocess.PIPE, text=True)
        ready = json.loads(self.process.stdout.readline())
        self.url = ready["url"]
        self.management = ready["management_url"]
        self.root = self.post("/users", username="root", admin=True)["id"]
        self.maria = self.post("/users", username="maria")["id"]
        self.zoe = self.post("/users", username="zoe")["id"]
        self.project = self.post("/projects", full_path="acme/payments")["id"]
        self.post("/members", project_id=self.project, user_id=self.maria, access_level=40)

    def post(self, path, /, **fields):
        request = urllib.request.Request(self.management + path, data=json.dumps(fields).encode(), method="POST")
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def get(self, path):
        with urllib.request.urlopen(self.management + path) as response:
            return json.load(response)

    def client(self, user_id, **options):
        secret = self.post("/tokens", user_id=user_id, name="client", scopes=["api"])["secret"]
        return gitlab.Gitlab(self.url, private_token=secret, **options)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def days_ahead(days):
    return (datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=days)).isoformat()


class PythonGitLabTest(unittest.TestCase):
    def setUp(self):
        self.simulators = []

    def tearDown(self):
        unknown = [route for simulator in self.simulators for route in simulator.get("/unknown-routes")]
        for simulator in self.simulators:
            simulator.stop()
        self.assertEqual(unknown, [])

    def start(self, version="18.11.5"):
        simulator = Simulator(version)
        self.simulators.append(simulator)
        return simulator

    def test_user_tokens_from_birth_to_death(self):
        for version in VERSIONS:
            with self.subTest(version):
                simulator = self.start(version)
                admin = simulator.client(simulator.root)
                admin.auth()
                self.assertTrue(admin.user.is_admin)
                owner = admin.users.list(username="maria")[0]
                made = owner.personal_access_tokens.create(
                    {"name": "ci [tb:q:1]", "scopes": ["read_user"], "expires_at": days_ahead(2)})
                self.assertTrue(made.active)
                self.assertEqual(made.expires_at, days_ahead(2))
                bearer = gitlab.Gitlab(simulator.url, private_token=made.token)
                bearer.auth()
                self.assertEqual(bearer.user.username, "maria")
                found = admin.personal_access_tokens.list(search="[tb:q:1]", get_all=True)
                self.assertEqual([token.id for token in found], [made.id])
                self.assertFalse(hasattr(found[0], "token"))
                admin.personal_access_tokens.delete(made.id)
                with self.assertRaises(gitlab.exceptions.GitlabAuthenticationError):
                    bearer.auth()
                admin.personal_access_tokens.delete(made.id)

    def test_lists_over_pages(self):
        simulator = self.start()
        admin = simulator.client(simulator.root)
        owner = admin.users.get(simulator.maria)
        ids = [owner.personal_access_tokens.create({"name": f"page-{i}", "scopes": ["api"]}).id for i in range(7)]
        pages = admin.personal_access_tokens.list(search="page-", per_page=3, iterator=True)
        self.assertEqual(pages.total, 7)
        self.assertEqual(pages.total_pages, 3)
        self.assertEqual([token.id for token in pages], ids)
        self.assertEqual(len(admin.personal_access_tokens.list(search="page-", per_page=3, page=3)), 1)

    def test_project_tokens_from_birth_to_death(self):
        for version in VERSIONS:
            with self.subTest(version):
                simulator = self.start(version)
                project = simulator.client(simulator.maria).projects.get("acme/payments")
                self.assertEqual(project.id, simulator.project)
                made = [
                    project.access_tokens.create({"name": f"bot-{i}", "scopes": ["read_api"], "access_level": 30,
                                                  "expires_at": days_ahead(2)}) for i in range(5)
                ]
                self.assertEqual(made[0].access_level, 30)
                listed = project.access_tokens.list(per_page=2, get_all=True)
                self.assertEqual([token.id for token in listed], [token.id for token in made])
                project.access_tokens.delete(made[0].id)
                alive = [token["id"] for token in simulator.get("/tokens?live=true&name=bot-")]
                self.assertEqual(alive, [token.id for token in made[1:]])

    def test_errors_keep_their_status_and_words(self):
        simulator = self.start()
        admin = simulator.client(simulator.root)
        maria = simulator.client(simulator.maria)

        def refused(call, status, words):
            with self.assertRaises(gitlab.exceptions.GitlabError) as caught:
                call()
            self.assertEqual(caught.exception.response_code, status)
            self.assertIn(words, str(caught.exception.error_message))

        owner = admin.users.get(simulator.maria, lazy=True)
        create = {"name": "n", "scopes": ["api"], "expires_at": days_ahead(400)}
        refused(lambda: owner.personal_access_tokens.create(create), 422, "Expires at must be before")
        refused(lambda: owner.personal_access_tokens.create({"name": "n", "scopes": ["nonsense"]}), 400,
                "scopes does not have a valid value")
        refused(lambda: maria.users.get(simulator.zoe, lazy=True).personal_access_tokens.create(create), 403,
                "403 Forbidden")
        refused(lambda: admin.personal_access_tokens.delete(999), 404, "404 Not found")
        refused(lambda: maria.projects.get("acme/absent"), 404, "404 Project Not Found")
        project = simulator.client(simulator.maria).projects.get(simulator.project)
        refused(lambda: project.access_tokens.delete(999), 404, "404 project Access Token Not Found")
        refused(lambda: project.access_tokens.create({"name": "n", "scopes": ["api"], "access_level": 50,
                                                      "expires_at": days_ahead(2)}), 400, "not held by the creating")
        refused(lambda: gitlab.Gitlab(simulator.url, private_token="never-was").auth(), 401, "401 Unauthorized")

    def test_retries_after_a_rate_limit(self):
        simulator = self.start()
        admin = simulator.client(simulator.root)
        simulator.post("/faults", preset="too-many-requests", number=1, method="GET", path="/users/")
        self.assertEqual(admin.users.get(simulator.maria).username, "maria")
        asked = [request for request in simulator.get("/requests") if "/users/" in request["target"]]
        self.assertEqual([request["status"] for request in asked], [429, 200])


if __name__ == "__main__":
    SIMULATOR = sys.argv.pop(1)
    # python-gitlab leaves its sessions open until they are collected.
    unittest.main(warnings="ignore")
