"""Counts the test cases of one `bazel test` and of the style checks: test_summary.py EVENTS BAZEL_EXIT STYLE_RESULTS.

Prints what failed, then `N passed, N failed` (and `, N skipped`); exits with 1 if anything failed or did not build.
EVENTS is Bazel's build event file of this run, so nothing of an earlier run is counted.
"""

import collections
import json
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ET

NO_TESTS_FOUND = 4  # bazel test's exit code when the filters leave nothing.


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def fail(self, what, number=1):
        self.failed += number
        self.failures.append(what)


def count_script(count, label, log, held):
    """A test without cases in its XML (a script, or a gtest that crashed): by the numbers that it prints (its own, or
    unittest's), else it is one. If it has not held, what is not counted as failed here is left to the caller."""
    own = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", log, re.M)
    unittest = re.findall(r"^Ran (\d+) tests? in", log, re.M)
    if own:
        passed, failed, skipped = (int(number or 0) for number in own[-1])
        count.passed += passed
        count.skipped += skipped
        if failed:
            count.fail(label, failed)
    elif unittest:
        verdict = log[log.rindex("Ran "):]
        bad = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", verdict))
        skipped = sum(int(number) for number in re.findall(r"skipped=(\d+)", verdict))
        count.skipped += skipped
        count.passed += max(int(unittest[-1]) - bad - skipped, 0)
        if bad:
            count.fail(label, bad)
    elif not held:
        return
    elif re.search(r"^skipped\b", log, re.M):
        count.skipped += 1
    else:
        count.passed += 1


def count_cases(count, label, xml_file, log, held):
    cases = ET.parse(xml_file).getroot().findall(".//testcase")
    # gtest says so by `result`; what Bazel writes for a script has one case without it.
    if not any("result" in case.attrib for case in cases):
        count_script(count, label, log, held)
        return
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            count.fail(f"{label} {case.get('classname')}.{case.get('name')}")
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            count.skipped += 1
        elif case.get("result") != "suppressed":  # That is a disabled one.
            count.passed += 1


def read_events(path):
    """The test targets of this run, and the last result of each (and of each shard)."""
    targets, results = set(), collections.OrderedDict()
    if not path.exists():
        return targets, results
    for line in path.read_text().splitlines():
        event = json.loads(line)
        identity = event["id"]
        if "targetConfigured" in identity and event.get("configured", {}).get("testSize"):
            targets.add(identity["targetConfigured"]["label"])
        elif "testResult" in identity and "testResult" in event:
            key = identity["testResult"]
            results[(key["label"], key.get("shard"))] = event["testResult"]
            targets.add(key["label"])
    return targets, results


def count_result(count, label, result):
    files = {out["name"]: urllib.parse.unquote(urllib.parse.urlparse(out.get("uri", "")).path)
             for out in result.get("testActionOutput", [])}
    log = pathlib.Path(files["test.log"]).read_text(errors="replace") if "test.log" in files else ""
    for line in re.findall(r"^\w+ replay: .*$", log, re.M):
        print(line)  # What was asked and what was left out: passing is not all there is to tell.
    before = count.failed
    held = result["status"] in ("PASSED", "FLAKY")
    try:
        if "test.xml" in files:
            count_cases(count, label, files["test.xml"], log, held)
    except (ET.ParseError, OSError) as error:
        count.fail(f"{label}: no readable results ({error})")
    if not held and count.failed == before:
        count.fail(f"{label}: {result['status']}")


def main(events, bazel_exit, style):
    count = Count()
    targets, results = read_events(pathlib.Path(events))
    for (label, _), result in results.items():
        count_result(count, label, result)
    for label in sorted(targets - {label for label, _ in results}):
        count.fail(f"{label}: did not build or did not run")
    if int(bazel_exit) == NO_TESTS_FOUND:
        count.fail("no test has this suite's tag")
    elif int(bazel_exit) != 0 and count.failed == 0:
        count.fail(f"bazel test ended with {bazel_exit}")
    for line in pathlib.Path(style).read_text().splitlines():
        verdict, name = line.split()
        if verdict == "failed":
            count.fail(f"style {name}")
        elif verdict == "skipped":
            count.skipped += 1
        else:
            count.passed += 1
    for failure in count.failures:
        print("failed:", failure)
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    print(f"{count.passed} passed, {count.failed} failed{skipped}")
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
