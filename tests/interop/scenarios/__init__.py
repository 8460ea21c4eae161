# SPDX-License-Identifier: Apache-2.0
"""Scenarios: prepare(registry, archives) makes what they need, scenario(session) is the script."""
