from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_WORKER: _ClassVar[Role]
    ROLE_CLIENT: _ClassVar[Role]

class Call(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_UNSPECIFIED: _ClassVar[Call]
    CALL_ITEM: _ClassVar[Call]
    CALL_STAR: _ClassVar[Call]
    CALL_FULL: _ClassVar[Call]
    CALL_APPLY: _ClassVar[Call]
    CALL_FOLD: _ClassVar[Call]
    CALL_COMBINE: _ClassVar[Call]
    CALL_GROUP: _ClassVar[Call]
    CALL_MERGE: _ClassVar[Call]
    CALL_EVALUATE: _ClassVar[Call]
ROLE_UNSPECIFIED: Role
ROLE_WORKER: Role
ROLE_CLIENT: Role
CALL_UNSPECIFIED: Call
CALL_ITEM: Call
CALL_STAR: Call
CALL_FULL: Call
CALL_APPLY: Call
CALL_FOLD: Call
CALL_COMBINE: Call
CALL_GROUP: Call
CALL_MERGE: Call
CALL_EVALUATE: Call

class Frame(_message.Message):
    __slots__ = ("sequence", "acknowledged", "bodies", "fragment", "hello", "welcome", "refusal")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    BODIES_FIELD_NUMBER: _ClassVar[int]
    FRAGMENT_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    acknowledged: int
    bodies: _containers.RepeatedCompositeFieldContainer[Body]
    fragment: Fragment
    hello: Hello
    welcome: Welcome
    refusal: Refusal
    def __init__(self, sequence: _Optional[int] = ..., acknowledged: _Optional[int] = ..., bodies: _Optional[_Iterable[_Union[Body, _Mapping]]] = ..., fragment: _Optional[_Union[Fragment, _Mapping]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Fragment(_message.Message):
    __slots__ = ("id", "data", "last")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    id: int
    data: bytes
    last: bool
    def __init__(self, id: _Optional[int] = ..., data: _Optional[bytes] = ..., last: bool = ...) -> None: ...

class Body(_message.Message):
    __slots__ = ("define", "want", "results", "failure", "open_job", "block", "seal_job", "cancel", "consumed", "attach_job", "leave_job", "stop_search", "close_session", "watch", "cancelled", "cluster", "job_rejected", "job_report", "dispatched", "dispatch", "revoke", "tuning", "renewed", "fetch", "part", "join_store", "put_data", "release_data", "await_data", "locate", "data_here", "source_failed", "forget", "data_state", "source", "admit", "returned", "crash", "held", "saved_state", "draining")
    DEFINE_FIELD_NUMBER: _ClassVar[int]
    WANT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    OPEN_JOB_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    SEAL_JOB_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    ATTACH_JOB_FIELD_NUMBER: _ClassVar[int]
    LEAVE_JOB_FIELD_NUMBER: _ClassVar[int]
    STOP_SEARCH_FIELD_NUMBER: _ClassVar[int]
    CLOSE_SESSION_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    JOB_REJECTED_FIELD_NUMBER: _ClassVar[int]
    JOB_REPORT_FIELD_NUMBER: _ClassVar[int]
    DISPATCHED_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    TUNING_FIELD_NUMBER: _ClassVar[int]
    RENEWED_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    JOIN_STORE_FIELD_NUMBER: _ClassVar[int]
    PUT_DATA_FIELD_NUMBER: _ClassVar[int]
    RELEASE_DATA_FIELD_NUMBER: _ClassVar[int]
    AWAIT_DATA_FIELD_NUMBER: _ClassVar[int]
    LOCATE_FIELD_NUMBER: _ClassVar[int]
    DATA_HERE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FAILED_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    DATA_STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ADMIT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    CRASH_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SAVED_STATE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    define: Define
    want: Want
    results: Results
    failure: Failure
    open_job: OpenJob
    block: Block
    seal_job: SealJob
    cancel: Cancel
    consumed: Consumed
    attach_job: AttachJob
    leave_job: LeaveJob
    stop_search: StopSearch
    close_session: CloseSession
    watch: Watch
    cancelled: Cancelled
    cluster: Cluster
    job_rejected: JobRejected
    job_report: JobReport
    dispatched: Dispatched
    dispatch: Dispatch
    revoke: Revoke
    tuning: Tuning
    renewed: Renewed
    fetch: Fetch
    part: Part
    join_store: JoinStore
    put_data: PutData
    release_data: ReleaseData
    await_data: AwaitData
    locate: Locate
    data_here: DataHere
    source_failed: SourceFailed
    forget: Forget
    data_state: DataState
    source: Source
    admit: Admit
    returned: Returned
    crash: Crash
    held: Held
    saved_state: SavedState
    draining: Draining
    def __init__(self, define: _Optional[_Union[Define, _Mapping]] = ..., want: _Optional[_Union[Want, _Mapping]] = ..., results: _Optional[_Union[Results, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., open_job: _Optional[_Union[OpenJob, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., seal_job: _Optional[_Union[SealJob, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., consumed: _Optional[_Union[Consumed, _Mapping]] = ..., attach_job: _Optional[_Union[AttachJob, _Mapping]] = ..., leave_job: _Optional[_Union[LeaveJob, _Mapping]] = ..., stop_search: _Optional[_Union[StopSearch, _Mapping]] = ..., close_session: _Optional[_Union[CloseSession, _Mapping]] = ..., watch: _Optional[_Union[Watch, _Mapping]] = ..., cancelled: _Optional[_Union[Cancelled, _Mapping]] = ..., cluster: _Optional[_Union[Cluster, _Mapping]] = ..., job_rejected: _Optional[_Union[JobRejected, _Mapping]] = ..., job_report: _Optional[_Union[JobReport, _Mapping]] = ..., dispatched: _Optional[_Union[Dispatched, _Mapping]] = ..., dispatch: _Optional[_Union[Dispatch, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ..., tuning: _Optional[_Union[Tuning, _Mapping]] = ..., renewed: _Optional[_Union[Renewed, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., part: _Optional[_Union[Part, _Mapping]] = ..., join_store: _Optional[_Union[JoinStore, _Mapping]] = ..., put_data: _Optional[_Union[PutData, _Mapping]] = ..., release_data: _Optional[_Union[ReleaseData, _Mapping]] = ..., await_data: _Optional[_Union[AwaitData, _Mapping]] = ..., locate: _Optional[_Union[Locate, _Mapping]] = ..., data_here: _Optional[_Union[DataHere, _Mapping]] = ..., source_failed: _Optional[_Union[SourceFailed, _Mapping]] = ..., forget: _Optional[_Union[Forget, _Mapping]] = ..., data_state: _Optional[_Union[DataState, _Mapping]] = ..., source: _Optional[_Union[Source, _Mapping]] = ..., admit: _Optional[_Union[Admit, _Mapping]] = ..., returned: _Optional[_Union[Returned, _Mapping]] = ..., crash: _Optional[_Union[Crash, _Mapping]] = ..., held: _Optional[_Union[Held, _Mapping]] = ..., saved_state: _Optional[_Union[SavedState, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "package_version", "python_version", "libraries", "session", "resume", "received", "role", "name", "host", "pid", "slots", "holds", "epoch", "secret", "owner")
    class LibrariesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    package_version: str
    python_version: str
    libraries: _containers.ScalarMap[str, str]
    session: bytes
    resume: bool
    received: int
    role: Role
    name: str
    host: str
    pid: int
    slots: int
    holds: bool
    epoch: int
    secret: str
    owner: str
    def __init__(self, protocol: _Optional[int] = ..., package_version: _Optional[str] = ..., python_version: _Optional[str] = ..., libraries: _Optional[_Mapping[str, str]] = ..., session: _Optional[bytes] = ..., resume: bool = ..., received: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ..., name: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., slots: _Optional[int] = ..., holds: bool = ..., epoch: _Optional[int] = ..., secret: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("epoch", "received", "resumed", "heartbeat_interval", "heartbeat_timeout", "warnings", "cluster", "store")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    received: int
    resumed: bool
    heartbeat_interval: float
    heartbeat_timeout: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    cluster: bytes
    store: str
    def __init__(self, epoch: _Optional[int] = ..., received: _Optional[int] = ..., resumed: bool = ..., heartbeat_interval: _Optional[float] = ..., heartbeat_timeout: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ..., cluster: _Optional[bytes] = ..., store: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "sentence", "cluster")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[Refusal.Code]
        CODE_VERSION: _ClassVar[Refusal.Code]
        CODE_UNKNOWN_SESSION: _ClassVar[Refusal.Code]
        CODE_INVALID: _ClassVar[Refusal.Code]
        CODE_SHUTTING_DOWN: _ClassVar[Refusal.Code]
        CODE_ACCESS: _ClassVar[Refusal.Code]
        CODE_NOT_ALLOWED: _ClassVar[Refusal.Code]
        CODE_TOO_MANY: _ClassVar[Refusal.Code]
    CODE_UNSPECIFIED: Refusal.Code
    CODE_VERSION: Refusal.Code
    CODE_UNKNOWN_SESSION: Refusal.Code
    CODE_INVALID: Refusal.Code
    CODE_SHUTTING_DOWN: Refusal.Code
    CODE_ACCESS: Refusal.Code
    CODE_NOT_ALLOWED: Refusal.Code
    CODE_TOO_MANY: Refusal.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    code: Refusal.Code
    sentence: str
    cluster: bytes
    def __init__(self, code: _Optional[_Union[Refusal.Code, str]] = ..., sentence: _Optional[str] = ..., cluster: _Optional[bytes] = ...) -> None: ...

class Renewed(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: str
    def __init__(self, secret: _Optional[str] = ...) -> None: ...

class CloseSession(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Define(_message.Message):
    __slots__ = ("hash", "blob")
    HASH_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    blob: bytes
    def __init__(self, hash: _Optional[bytes] = ..., blob: _Optional[bytes] = ...) -> None: ...

class Want(_message.Message):
    __slots__ = ("hashes",)
    HASHES_FIELD_NUMBER: _ClassVar[int]
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class OpenJob(_message.Message):
    __slots__ = ("job", "name", "priority", "max_parallel", "retry", "metered", "timeout", "total_timeout", "queue_timeout", "progress_timeout", "memory_bytes", "speculate", "detach", "owner", "keep_bytes", "share_bytes", "reduction", "context", "definitions", "search")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    METERED_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPECULATE_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    KEEP_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHARE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    job: int
    name: str
    priority: int
    max_parallel: int
    retry: Retry
    metered: bool
    timeout: float
    total_timeout: float
    queue_timeout: float
    progress_timeout: float
    memory_bytes: int
    speculate: bool
    detach: bool
    owner: str
    keep_bytes: int
    share_bytes: int
    reduction: Reduction
    context: bytes
    definitions: _containers.RepeatedScalarFieldContainer[bytes]
    search: Search
    def __init__(self, job: _Optional[int] = ..., name: _Optional[str] = ..., priority: _Optional[int] = ..., max_parallel: _Optional[int] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., metered: bool = ..., timeout: _Optional[float] = ..., total_timeout: _Optional[float] = ..., queue_timeout: _Optional[float] = ..., progress_timeout: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., speculate: bool = ..., detach: bool = ..., owner: _Optional[str] = ..., keep_bytes: _Optional[int] = ..., share_bytes: _Optional[int] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ..., context: _Optional[bytes] = ..., definitions: _Optional[_Iterable[bytes]] = ..., search: _Optional[_Union[Search, _Mapping]] = ...) -> None: ...

class Reduction(_message.Message):
    __slots__ = ("kind", "functions", "commutative", "partitions")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Reduction.Kind]
        KIND_TREE: _ClassVar[Reduction.Kind]
        KIND_BY_KEY: _ClassVar[Reduction.Kind]
    KIND_UNSPECIFIED: Reduction.Kind
    KIND_TREE: Reduction.Kind
    KIND_BY_KEY: Reduction.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    COMMUTATIVE_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    kind: Reduction.Kind
    functions: bytes
    commutative: bool
    partitions: int
    def __init__(self, kind: _Optional[_Union[Reduction.Kind, str]] = ..., functions: _Optional[bytes] = ..., commutative: bool = ..., partitions: _Optional[int] = ...) -> None: ...

class Search(_message.Message):
    __slots__ = ("plan", "evaluator", "time_limit", "chunk", "preface")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    EVALUATOR_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    PREFACE_FIELD_NUMBER: _ClassVar[int]
    plan: bytes
    evaluator: bytes
    time_limit: float
    chunk: int
    preface: bytes
    def __init__(self, plan: _Optional[bytes] = ..., evaluator: _Optional[bytes] = ..., time_limit: _Optional[float] = ..., chunk: _Optional[int] = ..., preface: _Optional[bytes] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("retries", "delay", "backoff", "delay_max", "retry_on", "on_timeout", "on_memory")
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    DELAY_MAX_FIELD_NUMBER: _ClassVar[int]
    RETRY_ON_FIELD_NUMBER: _ClassVar[int]
    ON_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ON_MEMORY_FIELD_NUMBER: _ClassVar[int]
    retries: int
    delay: float
    backoff: float
    delay_max: float
    retry_on: bytes
    on_timeout: bool
    on_memory: bool
    def __init__(self, retries: _Optional[int] = ..., delay: _Optional[float] = ..., backoff: _Optional[float] = ..., delay_max: _Optional[float] = ..., retry_on: _Optional[bytes] = ..., on_timeout: bool = ..., on_memory: bool = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("job", "first", "base", "ends", "payload", "function", "call", "definitions", "data")
    JOB_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    job: int
    first: int
    base: int
    ends: bytes
    payload: bytes
    function: bytes
    call: Call
    definitions: _containers.RepeatedScalarFieldContainer[bytes]
    data: _containers.RepeatedCompositeFieldContainer[DataNeed]
    def __init__(self, job: _Optional[int] = ..., first: _Optional[int] = ..., base: _Optional[int] = ..., ends: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., function: _Optional[bytes] = ..., call: _Optional[_Union[Call, str]] = ..., definitions: _Optional[_Iterable[bytes]] = ..., data: _Optional[_Iterable[_Union[DataNeed, _Mapping]]] = ...) -> None: ...

class SealJob(_message.Message):
    __slots__ = ("job", "total")
    JOB_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    job: int
    total: int
    def __init__(self, job: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("lo", "hi")
    LO_FIELD_NUMBER: _ClassVar[int]
    HI_FIELD_NUMBER: _ClassVar[int]
    lo: int
    hi: int
    def __init__(self, lo: _Optional[int] = ..., hi: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("job", "ranges", "spare_running")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    SPARE_RUNNING_FIELD_NUMBER: _ClassVar[int]
    job: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    spare_running: bool
    def __init__(self, job: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., spare_running: bool = ...) -> None: ...

class Consumed(_message.Message):
    __slots__ = ("job", "bytes", "unlimited")
    JOB_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    UNLIMITED_FIELD_NUMBER: _ClassVar[int]
    job: int
    bytes: int
    unlimited: bool
    def __init__(self, job: _Optional[int] = ..., bytes: _Optional[int] = ..., unlimited: bool = ...) -> None: ...

class Watch(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: int
    def __init__(self, job: _Optional[int] = ...) -> None: ...

class Dispatched(_message.Message):
    __slots__ = ("job", "ranges")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    job: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    def __init__(self, job: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ...) -> None: ...

class Cancelled(_message.Message):
    __slots__ = ("job", "ranges")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    job: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    def __init__(self, job: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("workers", "slots", "trouble", "short_of_room")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    SHORT_OF_ROOM_FIELD_NUMBER: _ClassVar[int]
    workers: int
    slots: int
    trouble: str
    short_of_room: bool
    def __init__(self, workers: _Optional[int] = ..., slots: _Optional[int] = ..., trouble: _Optional[str] = ..., short_of_room: bool = ...) -> None: ...

class JobRejected(_message.Message):
    __slots__ = ("job", "sentence", "code")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[JobRejected.Code]
        CODE_NAME_TAKEN: _ClassVar[JobRejected.Code]
        CODE_NO_JOURNAL: _ClassVar[JobRejected.Code]
        CODE_UNKNOWN_NAME: _ClassVar[JobRejected.Code]
        CODE_CANCELLED: _ClassVar[JobRejected.Code]
        CODE_ACCESS: _ClassVar[JobRejected.Code]
        CODE_FULL: _ClassVar[JobRejected.Code]
        CODE_NO_SEARCH: _ClassVar[JobRejected.Code]
    CODE_UNSPECIFIED: JobRejected.Code
    CODE_NAME_TAKEN: JobRejected.Code
    CODE_NO_JOURNAL: JobRejected.Code
    CODE_UNKNOWN_NAME: JobRejected.Code
    CODE_CANCELLED: JobRejected.Code
    CODE_ACCESS: JobRejected.Code
    CODE_FULL: JobRejected.Code
    CODE_NO_SEARCH: JobRejected.Code
    JOB_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    job: int
    sentence: str
    code: JobRejected.Code
    def __init__(self, job: _Optional[int] = ..., sentence: _Optional[str] = ..., code: _Optional[_Union[JobRejected.Code, str]] = ...) -> None: ...

class AttachJob(_message.Message):
    __slots__ = ("job", "name", "results")
    class Results(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESULTS_NONE: _ClassVar[AttachJob.Results]
        RESULTS_ORDERED: _ClassVar[AttachJob.Results]
        RESULTS_COMPLETED: _ClassVar[AttachJob.Results]
    RESULTS_NONE: AttachJob.Results
    RESULTS_ORDERED: AttachJob.Results
    RESULTS_COMPLETED: AttachJob.Results
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    job: int
    name: str
    results: AttachJob.Results
    def __init__(self, job: _Optional[int] = ..., name: _Optional[str] = ..., results: _Optional[_Union[AttachJob.Results, str]] = ...) -> None: ...

class LeaveJob(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: int
    def __init__(self, job: _Optional[int] = ...) -> None: ...

class StopSearch(_message.Message):
    __slots__ = ("job", "reason")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job: int
    reason: str
    def __init__(self, job: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class JobReport(_message.Message):
    __slots__ = ("job", "total", "succeeded", "failed", "cancelled", "finished", "phases", "search")
    JOB_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    job: int
    total: int
    succeeded: int
    failed: int
    cancelled: int
    finished: bool
    phases: _containers.RepeatedCompositeFieldContainer[Phase]
    search: bytes
    def __init__(self, job: _Optional[int] = ..., total: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., finished: bool = ..., phases: _Optional[_Iterable[_Union[Phase, _Mapping]]] = ..., search: _Optional[bytes] = ...) -> None: ...

class Phase(_message.Message):
    __slots__ = ("name", "done", "total")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    done: int
    total: int
    def __init__(self, name: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class Dispatch(_message.Message):
    __slots__ = ("lease", "job", "priority", "tag", "retry_on", "pieces", "timeout", "progress_timeout", "memory_bytes", "keep_bytes", "context", "job_name")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    RETRY_ON_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEEP_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    lease: int
    job: int
    priority: int
    tag: float
    retry_on: bytes
    pieces: _containers.RepeatedCompositeFieldContainer[Piece]
    timeout: float
    progress_timeout: float
    memory_bytes: int
    keep_bytes: int
    context: bytes
    job_name: str
    def __init__(self, lease: _Optional[int] = ..., job: _Optional[int] = ..., priority: _Optional[int] = ..., tag: _Optional[float] = ..., retry_on: _Optional[bytes] = ..., pieces: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ..., timeout: _Optional[float] = ..., progress_timeout: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., keep_bytes: _Optional[int] = ..., context: _Optional[bytes] = ..., job_name: _Optional[str] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("first", "base", "ends", "payload", "function", "call", "attempt", "definitions", "careful", "state", "data", "keep_as")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    CAREFUL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEEP_AS_FIELD_NUMBER: _ClassVar[int]
    first: int
    base: int
    ends: bytes
    payload: bytes
    function: bytes
    call: Call
    attempt: int
    definitions: _containers.RepeatedScalarFieldContainer[bytes]
    careful: bool
    state: bytes
    data: _containers.RepeatedCompositeFieldContainer[DataNeed]
    keep_as: bytes
    def __init__(self, first: _Optional[int] = ..., base: _Optional[int] = ..., ends: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., function: _Optional[bytes] = ..., call: _Optional[_Union[Call, str]] = ..., attempt: _Optional[int] = ..., definitions: _Optional[_Iterable[bytes]] = ..., careful: bool = ..., state: _Optional[bytes] = ..., data: _Optional[_Iterable[_Union[DataNeed, _Mapping]]] = ..., keep_as: _Optional[bytes] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("revoke", "lease", "ranges", "stop")
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    revoke: int
    lease: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    stop: bool
    def __init__(self, revoke: _Optional[int] = ..., lease: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., stop: bool = ...) -> None: ...

class Returned(_message.Message):
    __slots__ = ("revoke", "lease", "ranges")
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    revoke: int
    lease: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    def __init__(self, revoke: _Optional[int] = ..., lease: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[HeldLease]
    def __init__(self, leases: _Optional[_Iterable[_Union[HeldLease, _Mapping]]] = ...) -> None: ...

class HeldLease(_message.Message):
    __slots__ = ("lease", "job", "ranges")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    lease: int
    job: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    def __init__(self, lease: _Optional[int] = ..., job: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SavedState(_message.Message):
    __slots__ = ("job", "lease", "index", "attempt", "state")
    JOB_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    job: int
    lease: int
    index: int
    attempt: int
    state: bytes
    def __init__(self, job: _Optional[int] = ..., lease: _Optional[int] = ..., index: _Optional[int] = ..., attempt: _Optional[int] = ..., state: _Optional[bytes] = ...) -> None: ...

class Tuning(_message.Message):
    __slots__ = ("flush_interval",)
    FLUSH_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    flush_interval: float
    def __init__(self, flush_interval: _Optional[float] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("job", "lease", "first", "base", "ends", "payload", "seconds", "stored")
    JOB_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    job: int
    lease: int
    first: int
    base: int
    ends: bytes
    payload: bytes
    seconds: float
    stored: _containers.RepeatedCompositeFieldContainer[Stored]
    def __init__(self, job: _Optional[int] = ..., lease: _Optional[int] = ..., first: _Optional[int] = ..., base: _Optional[int] = ..., ends: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., seconds: _Optional[float] = ..., stored: _Optional[_Iterable[_Union[Stored, _Mapping]]] = ...) -> None: ...

class Stored(_message.Message):
    __slots__ = ("index", "id", "size")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: bytes
    size: int
    def __init__(self, index: _Optional[int] = ..., id: _Optional[bytes] = ..., size: _Optional[int] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("job", "lease", "index", "kind", "payload", "text", "retryable", "seconds", "crashes", "timeout", "limit", "end", "progress", "data", "used_bytes", "limit_bytes", "attempt")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Failure.Kind]
        KIND_EXCEPTION: _ClassVar[Failure.Kind]
        KIND_CRASHED: _ClassVar[Failure.Kind]
        KIND_REJECTED: _ClassVar[Failure.Kind]
        KIND_NO_ROOM: _ClassVar[Failure.Kind]
        KIND_DATA_LOST: _ClassVar[Failure.Kind]
        KIND_TIMED_OUT: _ClassVar[Failure.Kind]
        KIND_MEMORY_EXCEEDED: _ClassVar[Failure.Kind]
    KIND_UNSPECIFIED: Failure.Kind
    KIND_EXCEPTION: Failure.Kind
    KIND_CRASHED: Failure.Kind
    KIND_REJECTED: Failure.Kind
    KIND_NO_ROOM: Failure.Kind
    KIND_DATA_LOST: Failure.Kind
    KIND_TIMED_OUT: Failure.Kind
    KIND_MEMORY_EXCEEDED: Failure.Kind
    JOB_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CRASHES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    job: int
    lease: int
    index: int
    kind: Failure.Kind
    payload: bytes
    text: str
    retryable: bool
    seconds: float
    crashes: _containers.RepeatedCompositeFieldContainer[CrashReport]
    timeout: float
    limit: str
    end: int
    progress: str
    data: bytes
    used_bytes: int
    limit_bytes: int
    attempt: int
    def __init__(self, job: _Optional[int] = ..., lease: _Optional[int] = ..., index: _Optional[int] = ..., kind: _Optional[_Union[Failure.Kind, str]] = ..., payload: _Optional[bytes] = ..., text: _Optional[str] = ..., retryable: bool = ..., seconds: _Optional[float] = ..., crashes: _Optional[_Iterable[_Union[CrashReport, _Mapping]]] = ..., timeout: _Optional[float] = ..., limit: _Optional[str] = ..., end: _Optional[int] = ..., progress: _Optional[str] = ..., data: _Optional[bytes] = ..., used_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class Crash(_message.Message):
    __slots__ = ("job", "lease", "index", "report", "attempt")
    JOB_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    job: int
    lease: int
    index: int
    report: CrashReport
    attempt: int
    def __init__(self, job: _Optional[int] = ..., lease: _Optional[int] = ..., index: _Optional[int] = ..., report: _Optional[_Union[CrashReport, _Mapping]] = ..., attempt: _Optional[int] = ...) -> None: ...

class CrashReport(_message.Message):
    __slots__ = ("worker", "exit_code", "stderr_tail", "at", "seconds", "worker_lost", "reason", "memory")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    STDERR_TAIL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    WORKER_LOST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    worker: str
    exit_code: int
    stderr_tail: str
    at: float
    seconds: float
    worker_lost: bool
    reason: str
    memory: str
    def __init__(self, worker: _Optional[str] = ..., exit_code: _Optional[int] = ..., stderr_tail: _Optional[str] = ..., at: _Optional[float] = ..., seconds: _Optional[float] = ..., worker_lost: bool = ..., reason: _Optional[str] = ..., memory: _Optional[str] = ...) -> None: ...

class DataNeed(_message.Message):
    __slots__ = ("id", "offset", "length")
    ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    offset: int
    length: int
    def __init__(self, id: _Optional[bytes] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class JoinStore(_message.Message):
    __slots__ = ("store", "ids", "address", "certificate")
    STORE_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    store: str
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    address: str
    certificate: bytes
    def __init__(self, store: _Optional[str] = ..., ids: _Optional[_Iterable[bytes]] = ..., address: _Optional[str] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class PutData(_message.Message):
    __slots__ = ("id", "size", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    size: int
    content: bytes
    def __init__(self, id: _Optional[bytes] = ..., size: _Optional[int] = ..., content: _Optional[bytes] = ...) -> None: ...

class ReleaseData(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AwaitData(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class DataState(_message.Message):
    __slots__ = ("id", "size", "is_kept", "lost")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    IS_KEPT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    size: int
    is_kept: bool
    lost: str
    def __init__(self, id: _Optional[bytes] = ..., size: _Optional[int] = ..., is_kept: bool = ..., lost: _Optional[str] = ...) -> None: ...

class Fetch(_message.Message):
    __slots__ = ("id", "offset", "length")
    ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    offset: int
    length: int
    def __init__(self, id: _Optional[bytes] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("id", "offset", "data", "missing")
    ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    offset: int
    data: bytes
    missing: bool
    def __init__(self, id: _Optional[bytes] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., missing: bool = ...) -> None: ...

class Locate(_message.Message):
    __slots__ = ("needs",)
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    needs: _containers.RepeatedCompositeFieldContainer[DataNeed]
    def __init__(self, needs: _Optional[_Iterable[_Union[DataNeed, _Mapping]]] = ...) -> None: ...

class DataHere(_message.Message):
    __slots__ = ("needs",)
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    needs: _containers.RepeatedCompositeFieldContainer[DataNeed]
    def __init__(self, needs: _Optional[_Iterable[_Union[DataNeed, _Mapping]]] = ...) -> None: ...

class SourceFailed(_message.Message):
    __slots__ = ("need", "address", "reason", "given_up")
    NEED_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    need: DataNeed
    address: str
    reason: str
    given_up: bool
    def __init__(self, need: _Optional[_Union[DataNeed, _Mapping]] = ..., address: _Optional[str] = ..., reason: _Optional[str] = ..., given_up: bool = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("need", "size", "address", "certificate", "ticket", "lost", "is_here")
    NEED_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    IS_HERE_FIELD_NUMBER: _ClassVar[int]
    need: DataNeed
    size: int
    address: str
    certificate: bytes
    ticket: bytes
    lost: str
    is_here: bool
    def __init__(self, need: _Optional[_Union[DataNeed, _Mapping]] = ..., size: _Optional[int] = ..., address: _Optional[str] = ..., certificate: _Optional[bytes] = ..., ticket: _Optional[bytes] = ..., lost: _Optional[str] = ..., is_here: bool = ...) -> None: ...

class Admit(_message.Message):
    __slots__ = ("ticket", "id")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ticket: bytes
    id: bytes
    def __init__(self, ticket: _Optional[bytes] = ..., id: _Optional[bytes] = ...) -> None: ...

class PullRequest(_message.Message):
    __slots__ = ("ticket", "fetch")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    ticket: bytes
    fetch: Fetch
    def __init__(self, ticket: _Optional[bytes] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ...) -> None: ...

class Forget(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: str
    def __init__(self, secret: _Optional[str] = ...) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("package_version", "uptime", "workers", "jobs", "clients")
    PACKAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    package_version: str
    uptime: float
    workers: _containers.RepeatedCompositeFieldContainer[WorkerStatus]
    jobs: _containers.RepeatedCompositeFieldContainer[JobStatus]
    clients: int
    def __init__(self, package_version: _Optional[str] = ..., uptime: _Optional[float] = ..., workers: _Optional[_Iterable[_Union[WorkerStatus, _Mapping]]] = ..., jobs: _Optional[_Iterable[_Union[JobStatus, _Mapping]]] = ..., clients: _Optional[int] = ...) -> None: ...

class WorkerStatus(_message.Message):
    __slots__ = ("name", "host", "pid", "slots", "outstanding", "completed", "silent", "draining")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    name: str
    host: str
    pid: int
    slots: int
    outstanding: int
    completed: int
    silent: float
    draining: bool
    def __init__(self, name: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., slots: _Optional[int] = ..., outstanding: _Optional[int] = ..., completed: _Optional[int] = ..., silent: _Optional[float] = ..., draining: bool = ...) -> None: ...

class JobStatus(_message.Message):
    __slots__ = ("job", "name", "client", "priority", "total", "queued", "outstanding", "succeeded", "failed", "cancelled", "sealed")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    job: int
    name: str
    client: str
    priority: int
    total: int
    queued: int
    outstanding: int
    succeeded: int
    failed: int
    cancelled: int
    sealed: bool
    def __init__(self, job: _Optional[int] = ..., name: _Optional[str] = ..., client: _Optional[str] = ..., priority: _Optional[int] = ..., total: _Optional[int] = ..., queued: _Optional[int] = ..., outstanding: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., sealed: bool = ...) -> None: ...
