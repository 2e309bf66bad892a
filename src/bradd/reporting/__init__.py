"""A run's evidence, to look at: one self-contained page, and a contact sheet of the variations."""

from __future__ import annotations

from bradd.reporting.contact_sheet import write_contact_sheet
from bradd.reporting.page import write_report

__all__ = ["write_contact_sheet", "write_report"]
