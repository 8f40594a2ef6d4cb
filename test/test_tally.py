# SPDX-License-Identifier: Apache-2.0
"""./check may not call something passed that did not pass."""
import json
import pathlib
import subprocess

import pytest

TALLY = pathlib.Path(__file__).with_name("tally")
CMOCKA = """[==========] Running 3 test(s).
[  ERROR   ] --- 0x1 != 0x2
[==========] 3 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] later
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] wrong
"""


def tally(kind, path):
    out = subprocess.run([TALLY, kind, path], capture_output=True, text=True, check=True).stdout
    first, *names = out.split("\n")
    return first, [name for name in names if name]


def program(result, output, code=0):
    return {"name": "vipd:unit / model", "result": result, "returncode": code, "stdout": output,
            "stderr": ""}


@pytest.mark.parametrize("result, counts, names", [
    (program("FAIL", CMOCKA, 2), "1 2", ["model: later", "model: wrong"]),
    (program("OK", "[  PASSED  ] 7 test(s).\n[  PASSED  ] 2 test(s).\n"), "9 0", []),
    (program("FAIL", "AddressSanitizer: heap-use-after-free", 1), "0 1", ["model: fail (exit 1)"]),
    (program("FAIL", "[  PASSED  ] 7 test(s).\nLeakSanitizer: leaks", 1), "7 1",
     ["model: fail (exit 1)"]),
    (program("TIMEOUT", ""), "0 1", ["model: timeout (exit 0)"]),
    (program("OK", "fine"), "1 0", []),
    (program("FAIL", "1..3\nok 1 - a\nnot ok 2 - b\n", 1), "1 2",
     ["model: b", "model: broke off after 2 results"]),
])
def test_programs_of_meson(tmp_path, result, counts, names):
    log = tmp_path / "testlog.json"
    log.write_text(json.dumps(result) + "\n")
    assert tally("meson", log) == (counts, names)


def test_programs_add_up(tmp_path):
    log = tmp_path / "testlog.json"
    log.write_text(json.dumps(program("OK", "fine")) + "\n" + json.dumps(program("FAIL", CMOCKA)))
    assert tally("meson", log)[0] == "2 2"


@pytest.mark.parametrize("text, counts", [
    ("1..2\nok 1 - a\nok 2 - b (3 s)\n# 2 found\n", "2 0"),
    ("1..2\nok 1 - a\nnot ok 2 - b: lives\n# why\n", "1 1"),
    ("1..2\nok 1 - a\nok 2 - b # SKIP no kernel\n", "1 1"),
    ("1..2\nok 1 - a\n", "1 1"),
    ("ok 1 - a\n", "1 1"),
    ("1..0\n", "0 1"),
    ("", "0 1"),
])
def test_tap(tmp_path, text, counts):
    log = tmp_path / "log"
    log.write_text(text)
    assert tally("tap", log)[0] == counts


def test_junit_counts_skips_as_failed(tmp_path):
    log = tmp_path / "results.xml"
    log.write_text("""<testsuites><testsuite>
        <testcase classname="a" name="one"/><testcase classname="a" name="two"><failure/></testcase>
        <testcase classname="a" name="three"><skipped/></testcase>
        <testcase classname="a" name="four"><error/></testcase></testsuite></testsuites>""")
    assert tally("junit", log) == ("1 3", ["a: two", "a: three", "a: four"])


@pytest.mark.parametrize("kind", ["meson", "junit", "tap"])
@pytest.mark.parametrize("text", [None, "{", "<half"])
def test_missing_or_broken_results_are_a_failure(tmp_path, kind, text):
    log = tmp_path / "results"
    if text is not None:
        log.write_text(text)
    assert tally(kind, log)[0] == "0 1"
