#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""MAC mode: does every user reach all of their own and nothing else, with any kind of traffic?"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import main  # noqa: E402
from sally.reach import reach  # noqa: E402

main((reach, "mac"))
