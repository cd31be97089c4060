"""The text of the thread pool, see :mod:`fad.compiler.llvm.pool`.

One job runs at a time. Its chunks are taken one by one from a counter, by the thread that has the job and by every worker that is awake, so a
worker that never wakes costs nothing but its help. Who finds the pool busy runs all chunks alone.
"""

from __future__ import annotations

__all__ = ["POOL_SOURCE"]

# A job: function, context, number of chunks, next chunk. The pool's state is guarded by its mutex, the counter is atomic.
POOL_SOURCE = """
%job = type { ptr, ptr, i64, i64 }

@fad_pool_mutex = internal global [128 x i8] zeroinitializer, align 64
@fad_pool_work = internal global [128 x i8] zeroinitializer, align 64
@fad_pool_done = internal global [128 x i8] zeroinitializer, align 64
@fad_pool_job = internal global ptr null, align 64
@fad_pool_inside = internal global i64 0
@fad_pool_limit = internal global i64 1

declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)

; Also after a fork, whose child has no workers and maybe a mutex that one of them held.
define void @fad_pool_start(i64 %limit) {
  %a = call i32 @pthread_mutex_init(ptr @fad_pool_mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr @fad_pool_work, ptr null)
  %c = call i32 @pthread_cond_init(ptr @fad_pool_done, ptr null)
  store ptr null, ptr @fad_pool_job
  store i64 0, ptr @fad_pool_inside
  store i64 %limit, ptr @fad_pool_limit
  ret void
}

define void @fad_pool_set_limit(i64 %limit) {
  store atomic i64 %limit, ptr @fad_pool_limit monotonic, align 8
  ret void
}

define internal void @run_chunks(ptr %job) {
entry:
  %function = load ptr, ptr %job
  %context_at = getelementptr %job, ptr %job, i64 0, i32 1
  %context = load ptr, ptr %context_at
  %count_at = getelementptr %job, ptr %job, i64 0, i32 2
  %count = load i64, ptr %count_at
  %next_at = getelementptr %job, ptr %job, i64 0, i32 3
  br label %take
take:
  %chunk = atomicrmw add ptr %next_at, i64 1 monotonic
  %more = icmp slt i64 %chunk, %count
  br i1 %more, label %run, label %done
run:
  call void %function(ptr %context, i64 %chunk)
  br label %take
done:
  ret void
}

define ptr @fad_pool_worker(ptr %unused) {
entry:
  %locked = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  br label %look
look:
  %job = load ptr, ptr @fad_pool_job
  %idle = icmp eq ptr %job, null
  br i1 %idle, label %sleep, label %check
check:
  %count_at = getelementptr %job, ptr %job, i64 0, i32 2
  %count = load i64, ptr %count_at
  %next_at = getelementptr %job, ptr %job, i64 0, i32 3
  %next = load atomic i64, ptr %next_at monotonic, align 8
  %more = icmp slt i64 %next, %count
  br i1 %more, label %work, label %sleep
sleep:
  %slept = call i32 @pthread_cond_wait(ptr @fad_pool_work, ptr @fad_pool_mutex)
  br label %look
work:
  %inside = load i64, ptr @fad_pool_inside
  %entered = add i64 %inside, 1
  store i64 %entered, ptr @fad_pool_inside
  %unlocked = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  call void @run_chunks(ptr %job)
  %again = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  %still = load i64, ptr @fad_pool_inside
  %left = sub i64 %still, 1
  store i64 %left, ptr @fad_pool_inside
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
  %next_at = getelementptr %job, ptr %job, i64 0, i32 3
  store i64 0, ptr %next_at
  store ptr %job, ptr @fad_pool_job
  %woken = call i32 @pthread_cond_broadcast(ptr @fad_pool_work)
  %unlocked1 = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  call void @run_chunks(ptr %job)
  %again = call i32 @pthread_mutex_lock(ptr @fad_pool_mutex)
  br label %wait
wait:
  %inside = load i64, ptr @fad_pool_inside
  %finished = icmp eq i64 %inside, 0
  br i1 %finished, label %leave, label %sleep
sleep:
  %slept = call i32 @pthread_cond_wait(ptr @fad_pool_done, ptr @fad_pool_mutex)
  br label %wait
leave:
  store ptr null, ptr @fad_pool_job
  %unlocked2 = call i32 @pthread_mutex_unlock(ptr @fad_pool_mutex)
  ret void
}
"""
