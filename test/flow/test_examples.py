# SPDX-License-Identifier: BSD-2-Clause
"""What the documents show works: examples in etc, recipes of the README, commands alone."""

import glob
import os
import re
import subprocess
import tempfile

from bascule_flow import WAIT, Daemon, Failure, check, equal, main, program, test

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def run(*words):
    return subprocess.run([program(), *words], capture_output=True, text=True, timeout=WAIT,
                          stdin=subprocess.DEVNULL, check=False)


def passes_check(path):
    done = run("check", "-c", path)
    if done.returncode != 0:
        raise Failure(f"bascule check: {done.stderr.strip() or done.stdout.strip()}")


def add(words, text):
    """Tests that a configuration passes bascule check as it is, and serves at free ports."""
    @test(f"{words} passes bascule check")
    def _():
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(text)
            file.flush()
            passes_check(file.name)

    @test(f"{words} serves")
    def _():
        here = re.sub(r'listen = "[^"]*"', 'listen = "127.0.0.1:0"', text)
        here = re.sub(r"/var/(log|cache)/bascule", "@DIR@", here)
        with Daemon(here) as daemon:
            equal(len(daemon.status()["listeners"]), text.count("listen ="), "listeners")


for each in sorted(glob.glob(os.path.join(TOP, "etc", "**", "*.conf"), recursive=True)):
    with open(each, encoding="utf-8") as example:
        add(os.path.relpath(each, TOP), example.read())

with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
    recipes = re.findall(r"^### (.*?)\n.*?^```\n(.*?)^```$", readme.read(), re.M | re.S)
for title, recipe in recipes:
    add(f"the README's recipe \"{title}\"", recipe)


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


# bascule help COMMAND is written from the flags that the command takes, bascule(8) by hand.
@test("bascule(8) tells of every command and flag")
def _():
    with open(os.path.join(TOP, "etc", "bascule.8"), encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    commands = re.findall(r"^  (\w+)  ", run("help").stdout, re.M)
    check(len(commands) > 8, f"bascule help tells of {commands}")
    for command in commands:
        check(re.search(rf"^\.BR? {command}\b", page, re.M), f"nothing on {command}")
        for flag in re.findall(r"^  (?:-\w, )?(--[\w-]+)", run("help", command).stdout, re.M):
            check(flag in page, f"nothing on {flag} of {command}")


# Every option of a file has a sentence of its own.
@test("bascule options tells of every option")
def _():
    done = run("options")
    equal(done.returncode, 0, "exit status")
    for name in ("listeners", "allow_client", "connect_ports", "stop_timeout", "max_fails"):
        check(name in done.stdout, f"nothing on {name}")


main()
