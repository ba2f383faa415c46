# SPDX-License-Identifier: BSD-2-Clause
"""codings - content coded and decoded by programs that are none of ours."""

import functools
import gzip
import shutil
import subprocess
import tempfile
import zlib

from bascule_flow import Failure, Skip
from daemon import program

PAGE = b"".join(b"<p>Paragraph %d of a page that is like others.</p>\n" % i for i in range(600))


CONF = """
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0";
                filters = ( { filter = "compress"; codings = "%s"; } ); } );
sites = ( { name = "all"; default = true; welcome = true; } );
"""


@functools.cache
def has_coding(coding):
    """Whether the program was built with the coding."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(CONF % coding)
        file.flush()
        done = subprocess.run([program(), "check", "-c", file.name], capture_output=True,
                              text=True, check=False, timeout=60)
    if done.returncode != 0 and "built without" not in done.stderr + done.stdout:
        raise Failure(f"check says {done.stderr}{done.stdout}")
    return done.returncode == 0


def _pipe(words, data):
    if shutil.which(words[0]) is None:
        raise Skip(f"there is no {words[0]} here")
    done = subprocess.run(words, input=data, capture_output=True, check=False, timeout=60)
    if done.returncode != 0:
        raise Failure(f"{words[0]}: {done.stderr.decode(errors='replace')[-200:]}")
    return done.stdout


def decode(coding, data):
    """What is under the coding, to its end, or a Failure."""
    if coding is None:
        return data
    if coding == "gzip":
        return gzip.decompress(data)
    return _pipe(["brotli", "-dc"] if coding == "br" else ["zstd", "-dcq"], data)


def code(coding, data):
    if coding == "gzip":
        return gzip.compress(data, mtime=0)
    if coding == "deflate":
        return zlib.compress(data)
    return _pipe(["brotli", "-c"] if coding == "br" else ["zstd", "-cq"], data)
