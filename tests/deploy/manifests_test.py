"""Holds deploy/ to what it promises, without starting anything."""

import pathlib
import re
import sys
import unittest
import urllib.parse

import yaml

BASE = pathlib.Path("deploy/kubernetes/base")
DOCKERFILE = pathlib.Path("deploy/image/Dockerfile")


class StrictLoader(yaml.SafeLoader):
    """A key that stands twice is an error: the first one would be dropped in silence."""


def unique_keys(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise yaml.YAMLError(f"{node.start_mark}: {twice[0]} stands twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, unique_keys)


def documents(name):
    return list(yaml.load_all((BASE / name).read_text(), StrictLoader))


def keys_of(tree):
    """Every key at every depth."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from keys_of(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from keys_of(value)


class BaseTest(unittest.TestCase):
    def setUp(self):
        self.kustomization = documents("kustomization.yaml")[0]
        self.objects = [tree for name in self.kustomization["resources"] for tree in documents(name)]
        self.deployment = self.one("Deployment")
        self.pod = self.deployment["spec"]["template"]["spec"]
        self.assertEqual(len(self.pod["containers"]), 1)
        self.container = self.pod["containers"][0]
        self.config = documents("config.yaml")[0]

    def one(self, kind):
        found = [tree for tree in self.objects if tree["kind"] == kind]
        self.assertEqual(len(found), 1, kind)
        return found[0]

    def volumes(self):
        return {volume["name"]: volume for volume in self.pod["volumes"]}

    def mounts(self):
        return {mount["mountPath"]: mount for mount in self.container["volumeMounts"]}

    def volume_of(self, path):
        """The volume that a file of the container lies on; the file must lie directly in the mounted directory."""
        folder = str(pathlib.PurePosixPath(path).parent)
        self.assertIn(folder, self.mounts(), path)
        return self.volumes()[self.mounts()[folder]["name"]]

    def test_every_file_parses_and_is_used(self):
        self.assertTrue(BASE.is_dir())
        used = set(self.kustomization["resources"]) | {"kustomization.yaml"}
        for generator in self.kustomization["configMapGenerator"]:
            used |= set(generator["files"])
        self.assertEqual(used, {path.name for path in BASE.glob("*.yaml")})
        for name in used:
            self.assertEqual(len(documents(name)), 1, name)

    def test_kustomization_has_only_fields_of_kustomize_2_0(self):
        self.assertLessEqual(set(self.kustomization), {"apiVersion", "kind", "resources", "configMapGenerator"})
        for name in self.kustomization["resources"]:
            self.assertTrue((BASE / name).is_file(), f"{name}: resources are files; folders came later")

    def test_kinds(self):
        self.assertEqual(
            sorted(tree["kind"] for tree in self.objects),
            ["ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount"])

    def test_labels_select_the_pod(self):
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        self.assertTrue(labels)
        self.assertEqual(self.deployment["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(self.one("Service")["spec"]["selector"], labels)
        self.assertEqual(self.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], labels)

    def test_one_broker_at_a_time(self):
        self.assertEqual(self.deployment["spec"]["replicas"], 1)
        self.assertEqual(self.deployment["spec"]["strategy"], {"type": "Recreate"})

    def test_user_is_numeric_and_not_root(self):
        context = self.pod["securityContext"]
        self.assertIs(context["runAsNonRoot"], True)
        for key in ("runAsUser", "runAsGroup", "fsGroup"):
            self.assertIsInstance(context[key], int, key)
            self.assertGreater(context[key], 0, key)
        self.assertNotIn("runAsUser", self.container["securityContext"])

    def test_container_can_do_nothing_beside_its_job(self):
        context = self.container["securityContext"]
        self.assertIs(context["allowPrivilegeEscalation"], False)
        self.assertIs(context["readOnlyRootFilesystem"], True)
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        self.assertNotIn("privileged", context)
        self.assertEqual(self.pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            self.assertNotIn(key, self.pod)
        self.assertNotIn("hostPath", set(keys_of(self.pod)))

    def test_no_kubernetes_identity(self):
        self.assertIs(self.pod["automountServiceAccountToken"], False)
        account = self.one("ServiceAccount")
        self.assertIs(account["automountServiceAccountToken"], False)
        self.assertEqual(self.pod["serviceAccountName"], account["metadata"]["name"])

    def test_resources_are_bounded(self):
        resources = self.container["resources"]
        self.assertIn("memory", resources["limits"])
        self.assertLessEqual({"cpu", "memory"}, set(resources["requests"]))

    def test_probes_speak_http_on_the_metrics_port(self):
        port = int(self.config["listen"]["http"].rsplit(":", 1)[1])
        ports = {each["name"]: each["containerPort"] for each in self.container["ports"]}
        for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            get = self.container[probe]["httpGet"]
            self.assertEqual(get["path"], path)
            self.assertEqual(ports[get["port"]], port)
            self.assertNotIn("scheme", get)

    def test_no_grpc_probe(self):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            self.assertNotIn("grpc", self.container.get(probe, {}))
        for tree in self.objects:
            if tree["kind"] != "ConfigMap":
                self.assertNotIn("grpc", set(keys_of(tree)))

    def test_a_start_has_minutes(self):
        probe = self.container["startupProbe"]
        self.assertGreaterEqual(probe["periodSeconds"] * probe["failureThreshold"], 300)

    def test_arguments_start_a_broker_and_do_nothing_else(self):
        self.assertEqual(len(self.container["args"]), 2, "commands such as --restored are no part of a start")

    def test_the_network_policy_lets_the_broker_reach_gitlab(self):
        out = {(each["protocol"], each["port"])
               for rule in self.one("NetworkPolicy")["spec"]["egress"] for each in rule["ports"]}
        for gitlab in self.config["gitlab"]:
            for url in filter(None, (gitlab["url"], gitlab.get("proxy"))):
                parts = urllib.parse.urlsplit(url)
                self.assertIn(("TCP", parts.port or {"https": 443, "http": 80}[parts.scheme]), out, url)

    def test_a_drain_fits_into_the_grace_period(self):
        serve = pathlib.Path("server/serve.cc").read_text()
        waits = re.findall(r"constexpr Duration kDrain\w+ = seconds\((\d+)\);", serve)
        self.assertEqual(len(waits), 2)
        self.assertGreaterEqual(self.pod["terminationGracePeriodSeconds"], sum(map(int, waits)) + 5)

    def test_configuration_is_a_mounted_file(self):
        self.assertEqual(self.container["args"][0], "--config")
        volume = self.volume_of(self.container["args"][1])
        generated = {generator["name"]: generator["files"] for generator in self.kustomization["configMapGenerator"]}
        self.assertEqual(generated[volume["configMap"]["name"]],
                         [pathlib.PurePosixPath(self.container["args"][1]).name])

    def test_policy_is_a_config_map_with_a_steady_name(self):
        path = self.config["policy_file"]
        config_map = self.one("ConfigMap")
        self.assertEqual(self.volume_of(path)["configMap"], {"name": config_map["metadata"]["name"]})
        self.assertEqual(list(config_map["data"]), [pathlib.PurePosixPath(path).name])

    def test_credentials_are_mounted_secrets(self):
        listen = self.config["listen"]
        for path in (listen["certificate_file"], listen["key_file"], listen["client_ca_file"],
                     self.config["gitlab"][0]["issuer_file"]):
            secret = self.volume_of(path)["secret"]
            self.assertTrue(secret["secretName"])
            self.assertEqual(secret["defaultMode"], 0o440, path)

    def test_no_secret_in_git_or_in_the_environment(self):
        self.assertNotIn("Secret", {tree["kind"] for tree in self.objects})
        self.assertNotIn("secretGenerator", self.kustomization)
        self.assertNotIn("env", self.container)
        self.assertNotIn("envFrom", self.container)
        for path in [DOCKERFILE, *BASE.glob("*")]:
            self.assertNotRegex(path.read_text(), r"-----BEGIN|glpat-", path)

    def test_mounts_follow_what_is_exchanged(self):
        for path, mount in self.mounts().items():
            self.assertNotIn("subPath", mount, path)

    def test_only_the_ledger_is_writable(self):
        writable = [path for path, mount in self.mounts().items() if not mount.get("readOnly", False)]
        ledger = self.config["ledger"]["sqlite_file"]
        self.assertEqual(writable, [str(pathlib.PurePosixPath(ledger).parent)])
        claim = self.one("PersistentVolumeClaim")
        self.assertEqual(self.volume_of(ledger)["persistentVolumeClaim"], {"claimName": claim["metadata"]["name"]})
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOnce"])

    def test_every_mount_has_a_volume_and_every_volume_a_mount(self):
        self.assertEqual(sorted(mount["name"] for mount in self.mounts().values()), sorted(self.volumes()))

    def test_service_and_network_policy_name_the_doors(self):
        listen = self.config["listen"]
        doors = {int(listen[door].rsplit(":", 1)[1]) for door in ("grpc", "http")}
        names = {each["name"]: each["containerPort"] for each in self.container["ports"]}
        self.assertEqual(set(names.values()), doors)
        self.assertEqual({names[port["targetPort"]] for port in self.one("Service")["spec"]["ports"]}, doors)
        policy = self.one("NetworkPolicy")["spec"]
        self.assertEqual(sorted(policy["policyTypes"]), ["Egress", "Ingress"])
        for rule in policy["ingress"]:
            self.assertTrue(rule["from"], "an empty from lets everybody in")
        self.assertEqual({port["port"] for rule in policy["ingress"] for port in rule["ports"]}, doors)
        self.assertEqual({port["port"] for rule in policy["egress"] for port in rule["ports"]}, {53, 443})

    def test_readme_names_every_secret(self):
        readme = (BASE / "README.md").read_text()
        for volume in self.pod["volumes"]:
            if "secret" in volume:
                self.assertIn(volume["secret"]["secretName"], readme)


class ImageTest(unittest.TestCase):
    def setUp(self):
        text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M)
        self.lines = text.replace("\\\n", " ").splitlines()

    def of(self, instruction):
        return [line.split(None, 1)[1] for line in self.lines if line.startswith(instruction + " ")]

    def test_stages(self):
        self.assertEqual(self.of("FROM"), ["debian:12 AS build", "debian:12-slim"])
        runs = " ".join(self.of("RUN"))
        self.assertIn("dev/setup", runs)
        self.assertRegex(runs, r"bazel build --config=opt .*//server:tokenbrokerd //client/tokenctl:tokenctl")

    def test_numeric_user(self):
        self.assertEqual(self.of("USER"), ["65532:65532"])
        pod = documents("deployment.yaml")[0]["spec"]["template"]["spec"]["securityContext"]
        self.assertEqual((pod["runAsUser"], pod["runAsGroup"]), (65532, 65532))

    def test_exec_form(self):
        self.assertEqual(self.of("ENTRYPOINT"), ['["/usr/local/bin/tokenbrokerd"]'])
        self.assertEqual(len(self.of("CMD")), 1)
        self.assertTrue(self.of("CMD")[0].startswith("["))

    def test_nothing_secret_can_come_in(self):
        self.assertEqual(self.of("ARG") + self.of("ENV") + self.of("ADD"), [])
        for source in self.of("COPY"):
            self.assertNotRegex(source, r"^\.\.? ", "names what it copies, so that nothing else of the checkout gets in")


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bool(bad))
