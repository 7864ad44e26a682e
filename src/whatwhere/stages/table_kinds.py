"""How each kind of table is written."""

from __future__ import annotations

from collections.abc import Callable

from whatwhere.stages.decoded_tables import write_instance_table, write_zeroshot_table
from whatwhere.stages.joint_tables import write_matching_table, write_position_table
from whatwhere.stages.tables import write_oracle_table, write_seconds_table

#: By the kind that the configuration says.
WRITERS: dict[str, Callable[..., None]] = {
    "oracle": write_oracle_table,
    "seconds": write_seconds_table,
    "matching": write_matching_table,
    "position": write_position_table,
    "zeroshot": write_zeroshot_table,
    "instances": write_instance_table,
}
