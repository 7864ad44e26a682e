"""What a run will do, before anything starts: images, passes, hours, disk, downloads, and what is missing."""

from __future__ import annotations

from whatwhere.plan.machine import GPUS
from whatwhere.plan.overlay import configured, merged, read_merged
from whatwhere.plan.page import page
from whatwhere.plan.rows import Plan
from whatwhere.plan.whole import make_plan

__all__ = ["GPUS", "Plan", "configured", "make_plan", "merged", "page", "read_merged"]
