# SPDX-License-Identifier: BSD-2-Clause
"""What the documents show works: examples in etc, recipes of the README, commands without a file."""

import glob
import os
import re
import subprocess
import tempfile

from bascule_flow import WAIT, Failure, check, equal, main, program, test

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def run(*words):
    return subprocess.run([program(), *words], capture_output=True, text=True, timeout=WAIT,
                          stdin=subprocess.DEVNULL, check=False)


def passes_check(path):
    done = run("check", "-c", path)
    if done.returncode != 0:
        raise Failure(f"bascule check: {done.stderr.strip() or done.stdout.strip()}")


def add_example(path):
    @test(f"etc/{os.path.basename(path)} passes bascule check")
    def _():
        passes_check(path)


def add_recipe(title, text):
    @test(f"the README's recipe \"{title}\" passes bascule check")
    def _():
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(text)
            file.flush()
            passes_check(file.name)


for each in sorted(glob.glob(os.path.join(TOP, "etc", "*.conf"))):
    add_example(each)

with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
    recipes = re.findall(r"^### (.*?)\n.*?^```\n(.*?)^```$", readme.read(), re.M | re.S)
for each in recipes:
    add_recipe(*each)


@test("the README has its three recipes")
def _():
    equal(len(recipes), 3, "recipes")


@test("bascule version tells the version")
def _():
    done = run("version")
    equal(done.returncode, 0, "exit status")
    check(re.match(r"bascule \d+\.\d+\.\d+", done.stdout), f"said {done.stdout!r}")


@test("a command that is none is refused in words")
def _():
    done = run("serve")
    equal((done.returncode != 0, "serve" in done.stderr), (True, True), "refusal")


# Every option of a file has a sentence of its own.
@test("bascule options tells of every option")
def _():
    done = run("options")
    equal(done.returncode, 0, "exit status")
    for name in ("listeners", "allow_client", "connect_ports", "stop_timeout", "max_fails"):
        check(name in done.stdout, f"nothing on {name}")


main()
