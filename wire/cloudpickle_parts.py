"""The internals of cloudpickle that by-value pickling rests on, in one place.

They have been stable since cloudpickle 3.0, but nobody promises them: if a release changes one, this import or
`tests/unit/wire/test_definitions.py` fails. Nothing here changes what the user's own cloudpickle does.
"""

from cloudpickle.cloudpickle import _BUILTIN_TYPE_NAMES as NAMED_TYPES
from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_CLASS as TRACKER_IDS
from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_ID as TRACKED_CLASSES
from cloudpickle.cloudpickle import Pickler
from cloudpickle.cloudpickle import _class_reduce as reduce_class_by_name
from cloudpickle.cloudpickle import _class_setstate as set_class_state
from cloudpickle.cloudpickle import _decompose_typevar as typevar_parts
from cloudpickle.cloudpickle import _dynamic_class_reduce as reduce_class_by_value
from cloudpickle.cloudpickle import _extract_code_globals as global_names
from cloudpickle.cloudpickle import _get_or_create_tracker_id as tracker_id
from cloudpickle.cloudpickle import _is_registered_pickle_by_value as is_registered_by_value
from cloudpickle.cloudpickle import _lookup_module_and_qualname as find_by_name
from cloudpickle.cloudpickle import _make_typevar as make_typevar

#: Its reducers by exact type.
REDUCERS = Pickler._dispatch_table  # noqa: SLF001

__all__ = [
    "NAMED_TYPES",
    "REDUCERS",
    "TRACKED_CLASSES",
    "TRACKER_IDS",
    "Pickler",
    "find_by_name",
    "global_names",
    "is_registered_by_value",
    "make_typevar",
    "reduce_class_by_name",
    "reduce_class_by_value",
    "set_class_state",
    "tracker_id",
    "typevar_parts",
]
