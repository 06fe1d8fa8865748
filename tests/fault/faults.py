"""The faults: a table. inject.py has the functions behind it."""

import dataclasses

import inject


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    row: int                # of the design's table of faults to survive
    inject: object          # function of world, load, random source
    times: int              # in the long suite
    short: int = 0          # in the short one
    reach_s: float = 0      # what is promised for selling again; 0: nothing
    daemons: int = 1
    via: tuple = ()         # stores reached through a proxy
    faketime: bool = False
    variant: str = ""       # of the world
    forgets: bool = False   # Redis may lose its log, so a 202 may vanish
    load: tuple = ()        # further options of snapup-bench


FAULTS = (
    Fault("daemon_kill", 1, inject.daemon_kill, 200, 3, reach_s=2),
    Fault("daemon_kill_pair", 1, inject.daemon_kill, 30, daemons=2),
    Fault("daemon_stop", 2, inject.daemon_stop, 8, daemons=2),
    Fault("daemon_stop_rebuild", 2, inject.daemon_stop_rebuild, 10, 1, daemons=2, forgets=True),
    Fault("redis_kill", 3, inject.redis_kill, 50, 1, reach_s=3, forgets=True),
    Fault("redis_empty", 4, inject.redis_empty, 20, 1, reach_s=3, forgets=True),
    Fault("redis_old", 4, inject.redis_old, 20, 1, reach_s=3, forgets=True),
    Fault("redis_flush", 4, inject.redis_flush, 10, forgets=True),
    Fault("redis_key", 4, inject.redis_key, 10, forgets=True),
    Fault("redis_slow_fsync_kill", 5, inject.redis_slow_fsync_kill, 5, forgets=True),
    Fault("redis_fsync_error", 7, inject.redis_fsync_error, 5, forgets=True),
    Fault("sql_fsync_error", 7, inject.sql_fsync_error, 3),
    Fault("sql_slow_fsync", 7, inject.sql_slow_fsync, 4),
    Fault("redis_disk_full", 8, inject.redis_disk_full, 4, variant="disk_redis", forgets=True),
    Fault("sql_disk_full", 8, inject.sql_disk_full, 4, variant="disk_sql"),
    Fault("sql_kill", 9, inject.sql_kill, 20, 1, reach_s=5),
    Fault("sql_stop", 9, inject.sql_stop, 5),
    Fault("sql_readonly", 9, inject.sql_readonly, 5),
    Fault("sql_no_connections", 9, inject.sql_no_connections, 5),
    Fault("sql_lock", 10, inject.sql_lock, 5),
    Fault("sql_deadlock", 10, inject.sql_deadlock, 10),
    Fault("partition", 11, inject.partition, 6, variant="netns"),
    Fault("partition_one_way", 11, inject.partition_one_way, 6, variant="netns"),
    Fault("redis_silence_up", 11, inject.silence("redis", inject.UP), 5, via=("redis",)),
    Fault("redis_silence_down", 11, inject.silence("redis", inject.DOWN), 5, via=("redis",)),
    Fault("sql_silence_up", 11, inject.silence("sql", inject.UP), 5, via=("sql",)),
    Fault("sql_silence_down", 11, inject.silence("sql", inject.DOWN), 5, via=("sql",)),
    Fault("redis_failover", 12, inject.redis_failover, 15, reach_s=3, via=("redis",), variant="pair",
          forgets=True),
    Fault("redis_readonly", 13, inject.redis_readonly, 10, 1, forgets=True),
    Fault("redis_misconf", 13, inject.redis_misconf, 10, 1),
    Fault("redis_oom", 13, inject.redis_oom, 10),
    Fault("redis_no_replicas", 13, inject.redis_no_replicas, 5),
    Fault("redis_stop", 13, inject.redis_stop, 8),
    Fault("redis_stop_long", 13, inject.redis_stop_long, 3),
    Fault("function_flush", 13, inject.function_flush, 10, 1),
    Fault("script_flush", 13, inject.script_flush, 3),
    Fault("redis_latency", 14, inject.latency("redis"), 5, via=("redis",)),
    Fault("sql_latency", 14, inject.latency("sql"), 5, via=("sql",)),
    Fault("redis_slices", 14, inject.slices("redis"), 4, via=("redis",)),
    Fault("sql_slices", 14, inject.slices("sql"), 4, via=("sql",)),
    Fault("redis_cut", 15, inject.cut("redis"), 10, via=("redis",)),
    Fault("sql_cut", 15, inject.cut("sql"), 10, via=("sql",)),
    Fault("redis_half_answer", 15, inject.half_answer("redis"), 8, via=("redis",)),
    Fault("sql_half_answer", 15, inject.half_answer("sql"), 8, via=("sql",)),
    Fault("commit_lost", 15, inject.commit_lost, 20, via=("sql",)),
    Fault("retry_storm", 18, inject.redis_kill, 5, forgets=True, load=("--impatient",)),
    Fault("retry_storm_sql", 18, inject.sql_kill, 3, load=("--impatient",)),
    Fault("clock_ahead", 19, inject.clock_ahead, 4, faketime=True),
    Fault("clock_back", 19, inject.clock_back, 4, faketime=True, load=("--started-ago", "7200s")),
    Fault("clock_before_start", 19, inject.clock_back, 2, faketime=True),
    Fault("no_descriptors", 20, inject.daemon_no_descriptors, 5),
    Fault("kill_in_rebuild", 1, inject.kill_in_rebuild, 10, forgets=True),
    Fault("sql_and_redis", 9, inject.sql_and_redis, 8, forgets=True),
    Fault("all_three", 9, inject.all_three, 8, forgets=True),
)
