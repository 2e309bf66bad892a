"""The commands: one file each, one public function a file."""

from __future__ import annotations
