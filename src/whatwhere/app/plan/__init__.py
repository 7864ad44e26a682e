"""What a run will do, before anything starts: images, passes, hours, disk, downloads, and what is missing."""

from __future__ import annotations

from whatwhere.app.plan.machine import GPUS
from whatwhere.app.plan.page import page
from whatwhere.app.plan.rows import Plan
from whatwhere.app.plan.whole import make_plan
from whatwhere.config.overlay import configured, merged

__all__ = ["GPUS", "Plan", "configured", "make_plan", "merged", "page"]
