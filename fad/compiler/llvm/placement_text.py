"""The text of where the pool's workers run: never on the core of the thread that asked for the work, if there is another one.

Linux looks for an idle core when it wakes a thread, but not where few cores share a cache and these were busy lately (``select_idle_cpu``
in ``kernel/sched/fair.c``, ``SIS_UTIL``): the worker may wake behind the thread that needs it, and both share that core until the kernel's clock
balances the load, ten milliseconds later or more. So a worker that was last seen there, or that has not run since it was woken, is allowed all cores
but that one until it runs; a worker that finds itself there moves by itself.

The workers' places are a list of rows in their own stacks, guarded by the pool's mutex; a row of a worker inside of a job is its own.
"""

from __future__ import annotations

import sys

__all__ = ["placement_source"]

# A place: the next one, the thread, the core where it was seen last, its state, the cores that it may use (as many as there are bits in the mask).
# States: 0 awake, 1 asleep, 2 woken but not seen since, 3 moved but not seen since.
_SOURCE = """
%place = type { ptr, i64, i32, i32, [16 x i64] }

@fad_pool_places = internal global ptr null
@fad_pool_core = internal global i32 -1

declare i32 @sched_getcpu()
declare i64 @pthread_self()
declare i32 @pthread_getaffinity_np(i64, i64, ptr)
declare i32 @pthread_setaffinity_np(i64, i64, ptr)

define internal void @enter_place(ptr %place) {
  %next = load ptr, ptr @fad_pool_places
  store ptr %next, ptr %place
  %thread_at = getelementptr %place, ptr %place, i64 0, i32 1
  %thread = call i64 @pthread_self()
  store i64 %thread, ptr %thread_at
  %core_at = getelementptr %place, ptr %place, i64 0, i32 2
  store i32 -1, ptr %core_at
  call void @note_state(ptr %place, i32 0)
  store ptr %place, ptr @fad_pool_places
  ret void
}

define internal void @note_state(ptr %place, i32 %state) {
  %state_at = getelementptr %place, ptr %place, i64 0, i32 3
  store i32 %state, ptr %state_at
  ret void
}

; Allow a thread all of its cores but one, and keep which ones it had; whether that leaves any.
define internal i1 @leave_core(ptr %place, i32 %core) {
entry:
  %thread_at = getelementptr %place, ptr %place, i64 0, i32 1
  %thread = load i64, ptr %thread_at
  %allowed = getelementptr %place, ptr %place, i64 0, i32 4
  %unknown = call i32 @pthread_getaffinity_np(i64 %thread, i64 128, ptr %allowed)
  %known = icmp eq i32 %unknown, 0
  %in_mask = icmp ult i32 %core, 1024
  %possible = and i1 %known, %in_mask
  br i1 %possible, label %choose, label %stay
choose:
  %others = alloca [16 x i64], align 8
  %wide = zext i32 %core to i64
  %number = lshr i64 %wide, 6
  %position = and i64 %wide, 63
  %bit = shl i64 1, %position
  br label %word
word:
  %k = phi i64 [ 0, %choose ], [ %next, %word ]
  %any = phi i64 [ 0, %choose ], [ %any_next, %word ]
  %had_at = getelementptr i64, ptr %allowed, i64 %k
  %had = load i64, ptr %had_at
  %this = icmp eq i64 %k, %number
  %without = select i1 %this, i64 %bit, i64 0
  %inverse = xor i64 %without, -1
  %has = and i64 %had, %inverse
  %has_at = getelementptr i64, ptr %others, i64 %k
  store i64 %has, ptr %has_at
  %any_next = or i64 %any, %has
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, 16
  br i1 %more, label %word, label %chosen
chosen:
  %some = icmp ne i64 %any_next, 0
  br i1 %some, label %move, label %stay
move:
  %failed = call i32 @pthread_setaffinity_np(i64 %thread, i64 128, ptr %others)
  %moved = icmp eq i32 %failed, 0
  ret i1 %moved
stay:
  ret i1 false
}

define internal void @allow_all_cores(ptr %place) {
  %thread_at = getelementptr %place, ptr %place, i64 0, i32 1
  %thread = load i64, ptr %thread_at
  %allowed = getelementptr %place, ptr %place, i64 0, i32 4
  %done = call i32 @pthread_setaffinity_np(i64 %thread, i64 128, ptr %allowed)
  ret void
}

; Who asks, before it wakes the workers: those that sleep or wait on its core, or behind it, are to run elsewhere.
define internal void @clear_core() {
entry:
  %core = call i32 @sched_getcpu()
  store i32 %core, ptr @fad_pool_core
  %first = load ptr, ptr @fad_pool_places
  br label %look
look:
  %place = phi ptr [ %first, %entry ], [ %following, %next ]
  %none = icmp eq ptr %place, null
  br i1 %none, label %done, label %check
check:
  %state_at = getelementptr %place, ptr %place, i64 0, i32 3
  %state = load i32, ptr %state_at
  %moved = icmp eq i32 %state, 3
  br i1 %moved, label %next, label %compare
compare:
  %seen_at = getelementptr %place, ptr %place, i64 0, i32 2
  %seen = load i32, ptr %seen_at
  %here = icmp eq i32 %seen, %core
  %behind = icmp eq i32 %state, 2
  %away = or i1 %here, %behind
  br i1 %away, label %move, label %leave
move:
  %gone = call i1 @leave_core(ptr %place, i32 %core)
  br i1 %gone, label %note, label %leave
note:
  call void @note_state(ptr %place, i32 3)
  br label %next
leave:
  %asleep = icmp eq i32 %state, 1
  %woken = select i1 %asleep, i32 2, i32 %state
  store i32 %woken, ptr %state_at
  br label %next
next:
  %following = load ptr, ptr %place
  br label %look
done:
  ret void
}

; A worker that is awake, with the mutex: where it is, and again all of its cores.
define internal void @note_core(ptr %place) {
entry:
  %state_at = getelementptr %place, ptr %place, i64 0, i32 3
  %state = load i32, ptr %state_at
  store i32 0, ptr %state_at
  %moved = icmp eq i32 %state, 3
  br i1 %moved, label %restore, label %see
restore:
  call void @allow_all_cores(ptr %place)
  br label %see
see:
  %core = call i32 @sched_getcpu()
  %core_at = getelementptr %place, ptr %place, i64 0, i32 2
  store i32 %core, ptr %core_at
  ret void
}

; A worker inside of a job: away from the core of who asked.
define internal void @keep_off(ptr %place) {
entry:
  %core_at = getelementptr %place, ptr %place, i64 0, i32 2
  %core = load i32, ptr %core_at
  %taken = load i32, ptr @fad_pool_core
  %shared = icmp eq i32 %core, %taken
  br i1 %shared, label %move, label %done
move:
  %gone = call i1 @leave_core(ptr %place, i32 %core)
  br i1 %gone, label %restore, label %done
restore:
  call void @allow_all_cores(ptr %place)
  br label %done
done:
  ret void
}
"""

_ELSEWHERE = """
%place = type { i64 }
@fad_pool_places = internal global ptr null
define internal void @enter_place(ptr %place) { ret void }
define internal void @note_state(ptr %place, i32 %state) { ret void }
define internal void @clear_core() { ret void }
define internal void @note_core(ptr %place) { ret void }
define internal void @keep_off(ptr %place) { ret void }
"""
"""Other systems have no such calls."""


def placement_source() -> str:
    """The text of ``enter_place``, ``note_state``, ``clear_core``, ``note_core`` and ``keep_off``."""
    return _SOURCE if sys.platform == "linux" else _ELSEWHERE
