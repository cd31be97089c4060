"""The text of jobs of several kernels for the thread pool, apart from :mod:`fad.compiler.llvm.pool_text`: many Programs need no such job.

``fad_pool_dispatch_many`` runs kernels that are independent of each other and need no memory of their own, as one job. A row for each is its
function, the number of its first word, and the numbers of its turns and its work among the values. A word is given as ``4 * number + kind``:
0 a buffer of the segment, 1 the arena at the offset that is a size of the segment, 2 a value, 3 the sizes. All that is in four places: buffers,
sizes, arena, values.
"""

from __future__ import annotations

__all__ = ["together_source"]

_SOURCE = """
declare void @fad_pool_run(ptr, ptr, i64)

%unit = type { ptr, ptr, i64, i64, i64, i64 }
%units = type { ptr, i64 }

; The last unit whose first chunk is not after this one, and its part of the turns.
define internal void @fad_run_chunk_of_many(ptr %units, i64 %chunk) {
entry:
  %rows = load ptr, ptr %units
  %count_at = getelementptr %units, ptr %units, i64 0, i32 1
  %count = load i64, ptr %count_at
  br label %search
search:
  %low = phi i64 [ 0, %entry ], [ %low_next, %halve ]
  %high = phi i64 [ %count, %entry ], [ %high_next, %halve ]
  %width = sub i64 %high, %low
  %more = icmp sgt i64 %width, 1
  br i1 %more, label %halve, label %found
halve:
  %half = lshr i64 %width, 1
  %middle = add i64 %low, %half
  %middle_at = getelementptr %unit, ptr %rows, i64 %middle, i32 4
  %middle_first = load i64, ptr %middle_at
  %before = icmp sle i64 %middle_first, %chunk
  %low_next = select i1 %before, i64 %middle, i64 %low
  %high_next = select i1 %before, i64 %high, i64 %middle
  br label %search
found:
  %row = getelementptr %unit, ptr %rows, i64 %low
  %kernel = load ptr, ptr %row
  %words_at = getelementptr %unit, ptr %row, i64 0, i32 1
  %words = load ptr, ptr %words_at
  %turns_at = getelementptr %unit, ptr %row, i64 0, i32 2
  %turns = load i64, ptr %turns_at
  %first_at = getelementptr %unit, ptr %row, i64 0, i32 4
  %first = load i64, ptr %first_at
  %chunks_at = getelementptr %unit, ptr %row, i64 0, i32 5
  %chunks = load i64, ptr %chunks_at
  %up = add i64 %turns, %chunks
  %up1 = sub i64 %up, 1
  %each = udiv i64 %up1, %chunks
  %number = sub i64 %chunk, %first
  %start = mul i64 %number, %each
  %over = icmp sgt i64 %start, %turns
  %begin = select i1 %over, i64 %turns, i64 %start
  %last = add i64 %begin, %each
  %beyond = icmp sgt i64 %last, %turns
  %end = select i1 %beyond, i64 %turns, i64 %last
  call void %kernel(ptr %words, i64 %begin, i64 %end)
  ret void
}

define internal i64 @fad_word(ptr %places, i64 %code) {
entry:
  %number = lshr i64 %code, 2
  %kind = and i64 %code, 3
  %kind_is_value = icmp eq i64 %kind, 2
  %place_number = select i1 %kind_is_value, i64 3, i64 %kind
  %sizes_at = getelementptr ptr, ptr %places, i64 1
  %sizes = load ptr, ptr %sizes_at
  switch i64 %kind, label %own [ i64 0, label %entry_of i64 1, label %inside i64 2, label %entry_of ]
entry_of:
  %place_at = getelementptr ptr, ptr %places, i64 %place_number
  %place = load ptr, ptr %place_at
  %element = getelementptr i64, ptr %place, i64 %number
  %found = load i64, ptr %element
  ret i64 %found
inside:
  %offset_at = getelementptr i64, ptr %sizes, i64 %number
  %offset = load i64, ptr %offset_at
  %arena_at = getelementptr ptr, ptr %places, i64 2
  %arena = load i64, ptr %arena_at
  %address = add i64 %arena, %offset
  ret i64 %address
own:
  %itself = ptrtoint ptr %sizes to i64
  ret i64 %itself
}

define void @fad_pool_dispatch_many(ptr %table, i64 %count, ptr %codes, i64 %word_count, ptr %places) {
entry:
  %words = alloca i64, i64 %word_count
  %rows = alloca %unit, i64 %count
  %values_at = getelementptr ptr, ptr %places, i64 3
  %values = load ptr, ptr %values_at
  br label %decode
decode:
  %w = phi i64 [ 0, %entry ], [ %w_next, %decoded ]
  %more_words = icmp slt i64 %w, %word_count
  br i1 %more_words, label %decoded, label %price
decoded:
  %code_at = getelementptr i64, ptr %codes, i64 %w
  %code = load i64, ptr %code_at
  %decoded_word = call i64 @fad_word(ptr %places, i64 %code)
  %decoded_at = getelementptr i64, ptr %words, i64 %w
  store i64 %decoded_word, ptr %decoded_at
  %w_next = add i64 %w, 1
  br label %decode
price:
  %k = phi i64 [ 0, %decode ], [ %next, %priced ]
  %total = phi i64 [ 0, %decode ], [ %total_next, %priced ]
  %all = phi i64 [ 0, %decode ], [ %all_next, %priced ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %priced, label %decide
priced:
  %line_number = mul i64 %k, 4
  %line = getelementptr i64, ptr %table, i64 %line_number
  %row = getelementptr %unit, ptr %rows, i64 %k
  %function = load ptr, ptr %line
  store ptr %function, ptr %row
  %start_at = getelementptr i64, ptr %line, i64 1
  %start = load i64, ptr %start_at
  %own_words = getelementptr i64, ptr %words, i64 %start
  %words_at = getelementptr %unit, ptr %row, i64 0, i32 1
  store ptr %own_words, ptr %words_at
  %turns_number_at = getelementptr i64, ptr %line, i64 2
  %turns_number = load i64, ptr %turns_number_at
  %turns_value_at = getelementptr i64, ptr %values, i64 %turns_number
  %turns = load i64, ptr %turns_value_at
  %turns_at = getelementptr %unit, ptr %row, i64 0, i32 2
  store i64 %turns, ptr %turns_at
  %work_number_at = getelementptr i64, ptr %line, i64 3
  %work_number = load i64, ptr %work_number_at
  %work_value_at = getelementptr i64, ptr %values, i64 %work_number
  %work = load i64, ptr %work_value_at
  %work_at = getelementptr %unit, ptr %row, i64 0, i32 3
  store i64 %work, ptr %work_at
  %wanted = udiv i64 %work, @GRAIN@
  %many = icmp ugt i64 %wanted, @MOST_CHUNKS@
  %limited = select i1 %many, i64 @MOST_CHUNKS@, i64 %wanted
  %few_turns = icmp ugt i64 %limited, %turns
  %fitting = select i1 %few_turns, i64 %turns, i64 %limited
  %none = icmp eq i64 %fitting, 0
  %chunks = select i1 %none, i64 1, i64 %fitting
  %first_at = getelementptr %unit, ptr %row, i64 0, i32 4
  store i64 %all, ptr %first_at
  %chunks_at = getelementptr %unit, ptr %row, i64 0, i32 5
  store i64 %chunks, ptr %chunks_at
  %total_next = add i64 %total, %work
  %all_next = add i64 %all, %chunks
  %next = add i64 %k, 1
  br label %price
decide:
  %shares = udiv i64 %total, @GRAIN@
  %several = icmp ugt i64 %shares, 1
  br i1 %several, label %together, label %alone
together:
  %units = alloca %units
  store ptr %rows, ptr %units
  %count_at = getelementptr %units, ptr %units, i64 0, i32 1
  store i64 %count, ptr %count_at
  call void @fad_pool_run(ptr @fad_run_chunk_of_many, ptr %units, i64 %all)
  ret void
alone:
  %j = phi i64 [ 0, %decide ], [ %j_next, %run ]
  %left = icmp slt i64 %j, %count
  br i1 %left, label %run, label %done
run:
  %j_row = getelementptr %unit, ptr %rows, i64 %j
  %j_kernel = load ptr, ptr %j_row
  %j_words_at = getelementptr %unit, ptr %j_row, i64 0, i32 1
  %j_words = load ptr, ptr %j_words_at
  %j_turns_at = getelementptr %unit, ptr %j_row, i64 0, i32 2
  %j_turns = load i64, ptr %j_turns_at
  call void %j_kernel(ptr %j_words, i64 0, i64 %j_turns)
  %j_next = add i64 %j, 1
  br label %alone
done:
  ret void
}
"""


def together_source(grain: int, most_chunks: int) -> str:
    """The text of ``fad_pool_dispatch_many``, for chunks of at least ``grain`` units of work."""
    return _SOURCE.replace("@GRAIN@", str(grain)).replace("@MOST_CHUNKS@", str(most_chunks))
