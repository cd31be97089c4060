"""The text of the thread pool, see :mod:`fad.compiler.llvm.pool`.

One job runs at a time. Each thread has a home, a part of the chunks, and takes these one by one from a counter, then what is left of other homes: so a
worker that never wakes costs nothing but its help. The same thread has the same part of each job if it can, since what the job before wrote there is
in the caches of its core; from another core's caches it comes at a quarter of the speed. Who finds the pool busy runs all chunks alone. Whoever waits stays awake for a fraction of a
millisecond before it sleeps: compiled code has the next job soon, and waking takes as long as a small loop.

``fad_pool_dispatch`` runs a kernel over its turns, at once or in chunks. The kernel is a function of an array of words (its arguments) and of
the turns to do. Some words are addresses of memory that each chunk must have of its own; a row for each such word says which one it is, how
many bytes it points to, how partial results are combined (0: not at all) and how many elements they have.
"""

from __future__ import annotations

from fad.compiler.llvm.placement_text import placement_source
from fad.compiler.llvm.waiting_text import waiting_source

__all__ = ["pool_source"]

# A job: function, context, number of chunks, how many of them are taken; how many threads may work, how many homes the chunks have, and where their
# counters are. The pool's state is guarded by its mutex, the counters are atomic.
_SOURCE = """
%job = type { ptr, ptr, i64, i64, i64, i64, ptr }

@fad_pool_mutex = internal global [128 x i8] zeroinitializer, align 64
@fad_pool_work = internal global [128 x i8] zeroinitializer, align 64
@fad_pool_done = internal global [128 x i8] zeroinitializer, align 64
@fad_pool_job = internal global ptr null, align 64
@fad_pool_inside = internal global i64 0
@fad_pool_limit = internal global i64 1
@fad_pool_turn = internal global i64 0, align 64
@fad_pool_watching = internal global i64 0

declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; Also after a fork, whose child has no workers and maybe a mutex that one of them held.
define void @fad_pool_start(i64 %limit) {
  %a = call i32 @pthread_mutex_init(ptr @fad_pool_mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr @fad_pool_work, ptr null)
  %c = call i32 @pthread_cond_init(ptr @fad_pool_done, ptr null)
  store ptr null, ptr @fad_pool_job
  store i64 0, ptr @fad_pool_inside
  store i64 0, ptr @fad_pool_watching
  store ptr null, ptr @fad_pool_places
  store i64 %limit, ptr @fad_pool_limit
  ret void
}

@WAITING@
@PLACEMENT@

define void @fad_pool_set_limit(i64 %limit) {
  store atomic i64 %limit, ptr @fad_pool_limit monotonic, align 8
  ret void
}

; The chunks before those of a home: a thread takes the same part of every loop, whose elements are in its caches from the loop before.
define internal i64 @before_home(i64 %count, i64 %homes, i64 %home) {
  %all = mul i64 %count, %home
  %before = udiv i64 %all, %homes
  ret i64 %before
}

; First the chunks of the thread's own home, then what is left of the others.
define internal void @run_chunks(ptr %job, i64 %number) {
entry:
  %function = load ptr, ptr %job
  %context_at = getelementptr %job, ptr %job, i64 0, i32 1
  %context = load ptr, ptr %context_at
  %count_at = getelementptr %job, ptr %job, i64 0, i32 2
  %count = load i64, ptr %count_at
  %taken_at = getelementptr %job, ptr %job, i64 0, i32 3
  %limit_at = getelementptr %job, ptr %job, i64 0, i32 4
  %limit = load i64, ptr %limit_at
  %homes_at = getelementptr %job, ptr %job, i64 0, i32 5
  %homes = load i64, ptr %homes_at
  %counters_at = getelementptr %job, ptr %job, i64 0, i32 6
  %counters = load ptr, ptr %counters_at
  %place = urem i64 %number, %limit
  %own = call i64 @before_home(i64 %homes, i64 %limit, i64 %place)
  br label %visit
visit:
  %k = phi i64 [ 0, %entry ], [ %k_next, %following ]
  %shifted = add i64 %own, %k
  %home = urem i64 %shifted, %homes
  %first = call i64 @before_home(i64 %count, i64 %homes, i64 %home)
  %behind = add i64 %home, 1
  %end = call i64 @before_home(i64 %count, i64 %homes, i64 %behind)
  %size = sub i64 %end, %first
  %line = shl i64 %home, 6
  %next_at = getelementptr i8, ptr %counters, i64 %line
  br label %look
look:
  %seen = load atomic i64, ptr %next_at monotonic, align 8
  %some = icmp slt i64 %seen, %size
  br i1 %some, label %take, label %following
take:
  %index = atomicrmw add ptr %next_at, i64 1 monotonic
  %got = icmp slt i64 %index, %size
  br i1 %got, label %run, label %following
run:
  %taken = atomicrmw add ptr %taken_at, i64 1 monotonic
  %chunk = add i64 %first, %index
  call void %function(ptr %context, i64 %chunk)
  br label %look
following:
  %k_next = add i64 %k, 1
  %others = icmp slt i64 %k_next, %homes
  br i1 %others, label %visit, label %done
done:
  ret void
}

; A worker's number is at least 1; 0 is who asks.
define ptr @fad_pool_worker(ptr %own) {
entry:
  %number = ptrtoint ptr %own to i64
  %place = alloca %place
  %locked = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  call void @enter_place(ptr %place)
  br label %look
look:
  call void @note_core(ptr %place)
  %turn = load i64, ptr @fad_pool_turn
  %job = load ptr, ptr @fad_pool_job
  %idle = icmp eq ptr %job, null
  br i1 %idle, label %maybe_watch, label %check
check:
  %count_at = getelementptr %job, ptr %job, i64 0, i32 2
  %count = load i64, ptr %count_at
  %taken_at = getelementptr %job, ptr %job, i64 0, i32 3
  %taken = load atomic i64, ptr %taken_at monotonic, align 8
  %more = icmp slt i64 %taken, %count
  ; Who asked works too: the others are one less than the limit.
  %limit = load atomic i64, ptr @fad_pool_limit monotonic, align 8
  %others = add i64 %limit, -1
  %busy = load i64, ptr @fad_pool_inside
  %room = icmp slt i64 %busy, %others
  %join = and i1 %more, %room
  br i1 %join, label %work, label %maybe_watch
maybe_watch:
  %present = load i64, ptr @fad_pool_watching
  %most = load atomic i64, ptr @fad_pool_limit monotonic, align 8
  %more_present = add i64 %present, 1
  %enough = icmp sge i64 %more_present, %most
  br i1 %enough, label %sleep, label %awake
awake:
  store i64 %more_present, ptr @fad_pool_watching
  %left_mutex = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  call void @watch(ptr @fad_pool_turn, i64 %turn)
  %present_now = load i64, ptr @fad_pool_watching
  %less_present = sub i64 %present_now, 1
  store i64 %less_present, ptr @fad_pool_watching
  %turn_now = load i64, ptr @fad_pool_turn
  %news = icmp ne i64 %turn_now, %turn
  br i1 %news, label %look, label %sleep
sleep:
  call void @note_state(ptr %place, i32 1)
  %slept = call i32 @pthread_cond_wait(ptr @fad_pool_work, ptr @fad_pool_mutex)
  br label %look
work:
  %inside = load i64, ptr @fad_pool_inside
  %entered = add i64 %inside, 1
  store atomic i64 %entered, ptr @fad_pool_inside monotonic, align 8
  %unlocked = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  call void @keep_off(ptr %place)
  call void @run_chunks(ptr %job, i64 %number)
  %again = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  %still = load i64, ptr @fad_pool_inside
  %left = sub i64 %still, 1
  store atomic i64 %left, ptr @fad_pool_inside release, align 8
  %last = icmp eq i64 %left, 0
  br i1 %last, label %tell, label %look
tell:
  %told = call i32 @pthread_cond_signal(ptr @fad_pool_done)
  br label %look
}

define internal void @run_alone(ptr %function, ptr %context, i64 %count) {
entry:
  br label %each
each:
  %chunk = phi i64 [ 0, %entry ], [ %next, %run ]
  %more = icmp slt i64 %chunk, %count
  br i1 %more, label %run, label %done
run:
  call void %function(ptr %context, i64 %chunk)
  %next = add i64 %chunk, 1
  br label %each
done:
  ret void
}

define void @fad_pool_run(ptr %function, ptr %context, i64 %count) {
entry:
  %job = alloca %job, align 64
  %limit = load atomic i64, ptr @fad_pool_limit monotonic, align 8
  %single_thread = icmp slt i64 %limit, 2
  %single_chunk = icmp slt i64 %count, 2
  %single = or i1 %single_thread, %single_chunk
  br i1 %single, label %alone, label %ask
alone:
  call void @run_alone(ptr %function, ptr %context, i64 %count)
  ret void
ask:
  %locked = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  %current = load ptr, ptr @fad_pool_job
  %free = icmp eq ptr %current, null
  br i1 %free, label %publish, label %busy
busy:
  %unlocked0 = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  br label %alone
publish:
  store ptr %function, ptr %job
  %context_at = getelementptr %job, ptr %job, i64 0, i32 1
  store ptr %context, ptr %context_at
  %count_at = getelementptr %job, ptr %job, i64 0, i32 2
  store i64 %count, ptr %count_at
  %taken_at = getelementptr %job, ptr %job, i64 0, i32 3
  store i64 0, ptr %taken_at
  %limit_at = getelementptr %job, ptr %job, i64 0, i32 4
  store i64 %limit, ptr %limit_at
  %few = icmp slt i64 %count, %limit
  %homes = select i1 %few, i64 %count, i64 %limit
  %homes_at = getelementptr %job, ptr %job, i64 0, i32 5
  store i64 %homes, ptr %homes_at
  %lines = shl i64 %homes, 6
  %counters = alloca i8, i64 %lines, align 64
  call void @llvm.memset.p0.i64(ptr %counters, i8 0, i64 %lines, i1 false)
  %counters_at = getelementptr %job, ptr %job, i64 0, i32 6
  store ptr %counters, ptr %counters_at
  store ptr %job, ptr @fad_pool_job
  %turn = load i64, ptr @fad_pool_turn
  %next_turn = add i64 %turn, 1
  store atomic i64 %next_turn, ptr @fad_pool_turn release, align 8
  call void @clear_core()
  %woken = call i32 @pthread_cond_broadcast(ptr @fad_pool_work)
  %unlocked1 = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  call void @run_chunks(ptr %job, i64 0)
  %again = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  br label %wait
wait:
  %inside = load i64, ptr @fad_pool_inside
  %finished = icmp eq i64 %inside, 0
  br i1 %finished, label %leave, label %awake
awake:
  %unlocked1a = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  call void @watch(ptr @fad_pool_inside, i64 %inside)
  %inside_now = load i64, ptr @fad_pool_inside
  %news = icmp ne i64 %inside_now, %inside
  br i1 %news, label %wait, label %sleep
sleep:
  %slept = call i32 @pthread_cond_wait(ptr @fad_pool_done, ptr @fad_pool_mutex)
  br label %wait
leave:
  store ptr null, ptr @fad_pool_job
  %unlocked2 = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  ret void
}

declare ptr @malloc(i64)
declare void @free(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

; What the chunks of one call have in common.
%call = type { ptr, ptr, i64, i64, i64, ptr, i64, ptr, i64 }

; The bytes between the memory of one chunk and of the next.
define internal i64 @fad_stride(ptr %row) {
  %bytes_at = getelementptr i64, ptr %row, i64 1
  %bytes = load i64, ptr %bytes_at
  %up = add i64 %bytes, 63
  %stride = and i64 %up, -64
  ret i64 %stride
}

define internal void @fad_run_chunk(ptr %call, i64 %chunk) {
entry:
  %kernel = load ptr, ptr %call
  %words_at = getelementptr %call, ptr %call, i64 0, i32 1
  %words = load ptr, ptr %words_at
  %count_at = getelementptr %call, ptr %call, i64 0, i32 2
  %count = load i64, ptr %count_at
  %turns_at = getelementptr %call, ptr %call, i64 0, i32 3
  %turns = load i64, ptr %turns_at
  %each_at = getelementptr %call, ptr %call, i64 0, i32 4
  %each = load i64, ptr %each_at
  %rows_at = getelementptr %call, ptr %call, i64 0, i32 5
  %rows = load ptr, ptr %rows_at
  %row_count_at = getelementptr %call, ptr %call, i64 0, i32 6
  %row_count = load i64, ptr %row_count_at
  %memory_at = getelementptr %call, ptr %call, i64 0, i32 7
  %memory = load ptr, ptr %memory_at
  %chunks_at = getelementptr %call, ptr %call, i64 0, i32 8
  %chunks = load i64, ptr %chunks_at
  %own = alloca i64, i64 %count
  %bytes = mul i64 %count, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %own, ptr %words, i64 %bytes, i1 false)
  br label %row
row:
  %k = phi i64 [ 0, %entry ], [ %next, %place ]
  %offset = phi i64 [ 0, %entry ], [ %offset_next, %place ]
  %more = icmp slt i64 %k, %row_count
  br i1 %more, label %place, label %ready
place:
  %row_offset = mul i64 %k, 4
  %this = getelementptr i64, ptr %rows, i64 %row_offset
  %number = load i64, ptr %this
  %stride = call i64 @fad_stride(ptr %this)
  %distance = mul i64 %chunk, %stride
  %position = add i64 %offset, %distance
  %address = getelementptr i8, ptr %memory, i64 %position
  %word_at = getelementptr i64, ptr %own, i64 %number
  store ptr %address, ptr %word_at
  %all = mul i64 %chunks, %stride
  %apart = add i64 %all, @APART@
  %offset_next = add i64 %offset, %apart
  %next = add i64 %k, 1
  br label %row
ready:
  %first = mul i64 %chunk, %each
  %over = icmp sgt i64 %first, %turns
  %begin = select i1 %over, i64 %turns, i64 %first
  %last = add i64 %begin, %each
  %beyond = icmp sgt i64 %last, %turns
  %end = select i1 %beyond, i64 %turns, i64 %last
  call void %kernel(ptr %own, i64 %begin, i64 %end)
  ret void
}

define void @fad_pool_dispatch(ptr %kernel, ptr %words, i64 %count, i64 %turns, i64 %work, ptr %rows, i64 %row_count) {
entry:
  br label %price
price:
  %k = phi i64 [ 0, %entry ], [ %next, %priced ]
  %grain = phi i64 [ @GRAIN@, %entry ], [ %grain_next, %priced ]
  %more = icmp slt i64 %k, %row_count
  br i1 %more, label %priced, label %decide
priced:
  %row_offset = mul i64 %k, 4
  %combine_number = add i64 %row_offset, 2
  %combine_at = getelementptr i64, ptr %rows, i64 %combine_number
  %combine = load i64, ptr %combine_at
  %count_number = add i64 %row_offset, 3
  %elements_at = getelementptr i64, ptr %rows, i64 %count_number
  %elements = load i64, ptr %elements_at
  %combined = icmp ne i64 %combine, 0
  %cost = mul i64 %elements, 64
  %extra = select i1 %combined, i64 %cost, i64 0
  %grain_next = add i64 %grain, %extra
  %next = add i64 %k, 1
  br label %price
decide:
  %wanted = udiv i64 %work, %grain
  %many = icmp ugt i64 %wanted, @MOST_CHUNKS@
  %limited = select i1 %many, i64 @MOST_CHUNKS@, i64 %wanted
  %few_turns = icmp ugt i64 %limited, %turns
  %fitting = select i1 %few_turns, i64 %turns, i64 %limited
  ; An even number: two threads have as many each, and need none of the other's, which is in that one's cache.
  %chunks = and i64 %fitting, -2
  %several = icmp ugt i64 %chunks, 1
  br i1 %several, label %measure, label %once
once:
  call void %kernel(ptr %words, i64 0, i64 %turns)
  ret void
measure:
  %m = phi i64 [ 0, %decide ], [ %m_next, %measured ]
  %total = phi i64 [ 0, %decide ], [ %total_next, %measured ]
  %more_rows = icmp slt i64 %m, %row_count
  br i1 %more_rows, label %measured, label %allocate
measured:
  %m_offset = mul i64 %m, 4
  %m_row = getelementptr i64, ptr %rows, i64 %m_offset
  %stride = call i64 @fad_stride(ptr %m_row)
  %all = mul i64 %stride, %chunks
  %apart = add i64 %all, @APART@
  %total_next = add i64 %total, %apart
  %m_next = add i64 %m, 1
  br label %measure
allocate:
  %asked = add i64 %total, 64
  %made = call ptr @malloc(i64 %asked)
  %none = icmp eq ptr %made, null
  br i1 %none, label %once, label %start
start:
  ; Vectors of a whole cache line are read in one piece.
  %made_at = ptrtoint ptr %made to i64
  %behind = add i64 %made_at, 63
  %aligned = and i64 %behind, -64
  %memory = inttoptr i64 %aligned to ptr
  %call = alloca %call
  store ptr %kernel, ptr %call
  %words_at = getelementptr %call, ptr %call, i64 0, i32 1
  store ptr %words, ptr %words_at
  %count_at = getelementptr %call, ptr %call, i64 0, i32 2
  store i64 %count, ptr %count_at
  %turns_at = getelementptr %call, ptr %call, i64 0, i32 3
  store i64 %turns, ptr %turns_at
  %up = add i64 %turns, %chunks
  %up1 = sub i64 %up, 1
  %each = udiv i64 %up1, %chunks
  %each_at = getelementptr %call, ptr %call, i64 0, i32 4
  store i64 %each, ptr %each_at
  %rows_at = getelementptr %call, ptr %call, i64 0, i32 5
  store ptr %rows, ptr %rows_at
  %row_count_at = getelementptr %call, ptr %call, i64 0, i32 6
  store i64 %row_count, ptr %row_count_at
  %memory_at = getelementptr %call, ptr %call, i64 0, i32 7
  store ptr %memory, ptr %memory_at
  %chunks_at = getelementptr %call, ptr %call, i64 0, i32 8
  store i64 %chunks, ptr %chunks_at
  call void @fad_pool_run(ptr @fad_run_chunk, ptr %call, i64 %chunks)
  br label %gather
gather:
  %g = phi i64 [ 0, %start ], [ %g_next, %gathered ]
  %g_place = phi i64 [ 0, %start ], [ %g_place_next, %gathered ]
  %more_results = icmp slt i64 %g, %row_count
  br i1 %more_results, label %result, label %finish
result:
  %g_offset = mul i64 %g, 4
  %g_row = getelementptr i64, ptr %rows, i64 %g_offset
  %g_stride = call i64 @fad_stride(ptr %g_row)
  %g_all = mul i64 %g_stride, %chunks
  %g_apart = add i64 %g_all, @APART@
  %g_place_next = add i64 %g_place, %g_apart
  %g_combine_at = getelementptr i64, ptr %g_row, i64 2
  %g_combine = load ptr, ptr %g_combine_at
  %scratch = icmp eq ptr %g_combine, null
  br i1 %scratch, label %gathered, label %together
together:
  %number = load i64, ptr %g_row
  %target_at = getelementptr ptr, ptr %words, i64 %number
  %target = load ptr, ptr %target_at
  %g_bytes_at = getelementptr i64, ptr %g_row, i64 1
  %g_bytes = load i64, ptr %g_bytes_at
  %g_count_at = getelementptr i64, ptr %g_row, i64 3
  %g_count = load i64, ptr %g_count_at
  %partial = getelementptr i8, ptr %memory, i64 %g_place
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %partial, i64 %g_bytes, i1 false)
  %second = getelementptr i8, ptr %partial, i64 %g_stride
  %rest = sub i64 %chunks, 1
  call void %g_combine(ptr %target, ptr %second, i64 %g_count, i64 %g_stride, i64 %rest)
  br label %gathered
gathered:
  %g_next = add i64 %g, 1
  br label %gather
finish:
  call void @free(ptr %made)
  ret void
}
"""


_APART = 320
"""Bytes between the memory of different results: at equal places of different pages, reading one would wait for what was just written to another."""


def pool_source(grain: int, most_chunks: int) -> str:
    """The pool's text, for chunks of at least ``grain`` units of work."""
    text = _SOURCE.replace("@WAITING@", waiting_source("fad_pool_mutex")).replace("@PLACEMENT@", placement_source())
    return (
        text.replace("@GRAIN@", str(grain)).replace("@MOST_CHUNKS@", str(most_chunks)).replace("@APART@", str(_APART))
    )
