# SPDX-License-Identifier: Apache-2.0
"""The parts of the interop tests: daemons, clients, a registry, images, transcripts and audits."""
