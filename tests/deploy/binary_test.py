"""binary_test.py TOKENBROKERD TOKENCTL: the programs take what deploy/ gives them, and the image has what they link."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

TOKENBROKERD, TOKENCTL = sys.argv[1:3]
BASE = pathlib.Path("deploy/kubernetes/base")
# Of every Debian image, since dpkg and apt need them themselves.
OF_THE_IMAGE = {"libc6", "libgcc-s1", "libstdc++6"}


def linked_packages(program):
    """The Debian packages of the shared libraries that the program itself names."""
    dynamic = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
    resolved = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    places = dict(re.findall(r"^\s*(\S+) => (\S+)", resolved, re.M))
    paths = [places[name] for name in names if name in places]
    # dpkg knows a file by the path it was packed under, /lib and /usr/lib being one by now.
    paths = sorted({spelling for path in paths for spelling in (path, path.removeprefix("/usr"), "/usr" + path)})
    owners = subprocess.run(["dpkg", "-S", *paths], check=False, capture_output=True, text=True).stdout
    return {line.split(":")[0] for line in owners.splitlines()}


def make_certificate(folder):
    """A key and a certificate that signed itself: a server's and an authority's in one."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=tokenbroker", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"],
                   check=True, capture_output=True)


class ConfigurationTest(unittest.TestCase):
    def check(self, policy):
        """Runs --check-config on the base's configuration, with this policy and with files where Secrets are mounted."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            text = (BASE / "config.yaml").read_text()
            self.assertIn(" /etc/tokenbroker/", text)
            self.assertIn(" /var/lib/tokenbroker/", text)
            for name in ("tls", "client-ca", "issuer", "policy", "ledger"):
                (root / name).mkdir()
            text = text.replace("/etc/tokenbroker/", f"{root}/").replace("/var/lib/tokenbroker/", f"{root}/ledger/")
            make_certificate(root / "tls")
            (root / "client-ca/ca.crt").write_text((root / "tls/tls.crt").read_text())
            (root / "issuer/token").write_text("glpat-example\n")
            (root / "policy/policy.yaml").write_text(policy)
            (root / "config.yaml").write_text(text)
            return subprocess.run([TOKENBROKERD, "--config", str(root / "config.yaml"), "--check-config"], check=False,
                                  capture_output=True, text=True, timeout=30)

    def policy(self):
        return yaml.safe_load((BASE / "policy.yaml").read_text())["data"]["policy.yaml"]

    def test_the_broker_takes_configuration_and_policy(self):
        done = self.check(self.policy())
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_broker_really_reads_the_policy(self):
        done = self.check(self.policy().replace("read_repository", "read_repositry"))
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"policy\.yaml:\d+:\d+")


class ImageTest(unittest.TestCase):
    def test_the_image_installs_what_the_programs_link(self):
        dockerfile = pathlib.Path("deploy/image/Dockerfile").read_text()
        runtime = dockerfile[dockerfile.index("FROM debian:12-slim"):]
        installed = set(re.findall(r"^ {8}(\S+) \\$", runtime, re.M))
        linked = linked_packages(TOKENBROKERD) | linked_packages(TOKENCTL)
        self.assertIn("libgrpc29", linked)
        self.assertEqual(linked - installed - OF_THE_IMAGE, set())
        self.assertLessEqual(installed - linked, {"ca-certificates"})


if __name__ == "__main__":
    result = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bool(bad))
