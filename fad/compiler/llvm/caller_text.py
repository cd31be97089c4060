r"""The text of the native caller, see :mod:`fad.compiler.llvm.caller`.

The descriptor is an array of 64-bit words:

==== ===========================================  ==== ===========================================
word meaning                                      word meaning
==== ===========================================  ==== ===========================================
0    number of arguments                          8    ``numpy.ndarray``
1    number of buffers                            9    what a call that does not fit returns
2    number of results                            10   whether to release the interpreter lock
3    number of constants                          11   whether to return the only result itself
4    address of the compiled code                 12   address of the argument table
5    address of the sizes                         13   address of the addresses of constants
6    bytes of the arena                           14   address of the result table
7    ``fad.Array``                                15   what a failed call returns
\                                                  16   where the memory of large results comes from
==== ===========================================  ==== ===========================================

A row of the argument table: kind (0 array, 1 float or complex, 2 int, 3 bool), number of its buffer or -1, type of a NumPy or Python scalar, dtype, number
of axes, address of the sizes. A row of the result table: dtype, number of axes, address of the sizes, number of the argument whose array becomes the
result (a ``fad.Array`` that nobody else uses) or -1, whether it is large.
"""

from __future__ import annotations

import re

from fad.compiler.llvm.huge_pages import whole_pages_text

__all__ = ["caller_source"]

# Offsets in bytes into CPython's and NumPy's objects; `caller.layout_is_known` checks them in the running process.
_SOURCE = """
@fad_spare_arena = internal global ptr null

declare ptr @PyType_GenericAlloc(ptr, i64)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyErr_NoMemory()
declare ptr @fad_set_memory(ptr)
declare ptr @fad_new_array(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare ptr @malloc(i64)
declare void @free(ptr)

; An arena of at least so many bytes. One is kept between calls; its first word is its size.
define internal ptr @take_arena(i64 %bytes) {
  %kept = atomicrmw xchg ptr @fad_spare_arena, ptr null acq_rel
  %none = icmp eq ptr %kept, null
  br i1 %none, label %new, label %check
check:
  %size = load i64, ptr %kept
  %enough = icmp uge i64 %size, %bytes
  br i1 %enough, label %use, label %small
use:
  ret ptr %kept
small:
  call void @free(ptr %kept)
  br label %new
new:
  %total = add i64 %bytes, 128
  %made = call ptr @new_whole_pages(i64 %total)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %out, label %mark
mark:
  store i64 %bytes, ptr %made
  br label %out
out:
  ret ptr %made
}

define internal void @give_arena(ptr %arena) {
  %size = load i64, ptr %arena
  %large = icmp ugt i64 %size, @LARGEST_KEPT@
  br i1 %large, label %drop, label %keep
keep:
  %old = atomicrmw xchg ptr @fad_spare_arena, ptr %arena acq_rel
  %none = icmp eq ptr %old, null
  br i1 %none, label %done, label %also
also:
  call void @free(ptr %old)
  br label %done
drop:
  call void @free(ptr %arena)
  br label %done
done:
  ret void
}

; The address of an argument's elements, null where it does not fit the signature. Scalars are put into %place.
define internal ptr @elements(ptr %descriptor, ptr %row, ptr %argument, ptr %place) {
entry:
  %kind = load i64, ptr %row
  %type = call ptr @field(ptr %argument, i64 8)
  %scalar = call ptr @address(ptr %row, i64 2)
  switch i64 %kind, label %miss [ i64 0, label %unwrap i64 1, label %number i64 2, label %integer i64 3, label %truth ]
unwrap:
  %array = call ptr @address(ptr %descriptor, i64 7)
  %wrapped = icmp eq ptr %type, %array
  br i1 %wrapped, label %inside, label %checked
inside:
  %buffer = call ptr @field(ptr %argument, i64 @BUFFER_OFFSET@)
  %inner = call ptr @field(ptr %buffer, i64 8)
  br label %checked
checked:
  %object = phi ptr [ %argument, %unwrap ], [ %buffer, %inside ]
  %class = phi ptr [ %type, %unwrap ], [ %inner, %inside ]
  %ndarray = call ptr @address(ptr %descriptor, i64 8)
  %is_array = icmp eq ptr %class, %ndarray
  br i1 %is_array, label %dtype, label %maybe_scalar
maybe_scalar:
  %axes0 = call i64 @word(ptr %row, i64 4)
  %no_axes = icmp eq i64 %axes0, 0
  %is_scalar = icmp eq ptr %class, %scalar
  %fits = and i1 %no_axes, %is_scalar
  %value = getelementptr i8, ptr %object, i64 16
  %scalar_result = select i1 %fits, ptr %value, ptr null
  ret ptr %scalar_result
dtype:
  %own = call ptr @field(ptr %object, i64 56)
  %wanted = call ptr @address(ptr %row, i64 3)
  %same_dtype = icmp eq ptr %own, %wanted
  %axes_at = getelementptr i8, ptr %object, i64 24
  %axes32 = load i32, ptr %axes_at
  %axes = sext i32 %axes32 to i64
  %wanted_axes = call i64 @word(ptr %row, i64 4)
  %same_axes = icmp eq i64 %axes, %wanted_axes
  %flags_at = getelementptr i8, ptr %object, i64 64
  %flags = load i32, ptr %flags_at
  %needed = and i32 %flags, 257
  %usable = icmp eq i32 %needed, 257
  %a = and i1 %same_dtype, %same_axes
  %b = and i1 %a, %usable
  br i1 %b, label %sizes, label %miss
sizes:
  %own_sizes = call ptr @field(ptr %object, i64 32)
  %wanted_sizes = call ptr @address(ptr %row, i64 5)
  br label %compare
compare:
  %k = phi i64 [ 0, %sizes ], [ %next, %equal ]
  %more = icmp slt i64 %k, %axes
  br i1 %more, label %size, label %fitting
size:
  %x = call i64 @word(ptr %own_sizes, i64 %k)
  %y = call i64 @word(ptr %wanted_sizes, i64 %k)
  %same_size = icmp eq i64 %x, %y
  br i1 %same_size, label %equal, label %miss
equal:
  %next = add i64 %k, 1
  br label %compare
fitting:
  %data = call ptr @field(ptr %object, i64 16)
  ret ptr %data
number:
  %is_float = icmp eq ptr %type, %scalar
  %double = getelementptr i8, ptr %argument, i64 16
  %float_result = select i1 %is_float, ptr %double, ptr null
  ret ptr %float_result
integer:
  %is_int = icmp eq ptr %type, %scalar
  br i1 %is_int, label %convert, label %miss
convert:
  %overflow = alloca i32
  %int = call i64 @PyLong_AsLongLongAndOverflow(ptr %argument, ptr %overflow)
  %over = load i32, ptr %overflow
  %held = icmp eq i32 %over, 0
  store i64 %int, ptr %place
  %int_result = select i1 %held, ptr %place, ptr null
  ret ptr %int_result
truth:
  %is_bool = icmp eq ptr %type, %scalar
  %true = call ptr @address(ptr %row, i64 3)
  %is_true = icmp eq ptr %argument, %true
  %bit = zext i1 %is_true to i64
  store i64 %bit, ptr %place
  %bool_result = select i1 %is_bool, ptr %place, ptr null
  ret ptr %bool_result
miss:
  ret ptr null
}

define internal ptr @answer(ptr %descriptor, i64 %number) alwaysinline {
  %object = call ptr @address(ptr %descriptor, i64 %number)
  call void @Py_IncRef(ptr %object)
  ret ptr %object
}

; A fad.Array over an array; takes over its reference.
define internal ptr @wrapped(ptr %descriptor, ptr %array) {
  %type = call ptr @address(ptr %descriptor, i64 7)
  %object = call ptr @PyType_GenericAlloc(ptr %type, i64 0)
  %failed = icmp eq ptr %object, null
  br i1 %failed, label %drop, label %fill
drop:
  call void @Py_DecRef(ptr %array)
  ret ptr null
fill:
  %at = getelementptr i8, ptr %object, i64 @BUFFER_OFFSET@
  store ptr %array, ptr %at
  ret ptr %object
}

; Keep what a fad.Array holds while other threads run, which may donate it; null for other arguments.
define internal void @keep(ptr %descriptor, ptr %arguments, ptr %kept) {
entry:
  %count = call i64 @word(ptr %descriptor, i64 0)
  %array = call ptr @address(ptr %descriptor, i64 7)
  br label %each
each:
  %k = phi i64 [ 0, %entry ], [ %next, %keep ], [ %next, %pass ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %look, label %done
look:
  %argument = call ptr @address(ptr %arguments, i64 %k)
  %type = call ptr @field(ptr %argument, i64 8)
  %at = getelementptr ptr, ptr %kept, i64 %k
  %next = add i64 %k, 1
  %wrapped = icmp eq ptr %type, %array
  br i1 %wrapped, label %keep, label %pass
keep:
  %buffer = call ptr @field(ptr %argument, i64 @BUFFER_OFFSET@)
  call void @Py_IncRef(ptr %buffer)
  store ptr %buffer, ptr %at
  br label %each
pass:
  store ptr null, ptr %at
  br label %each
done:
  ret void
}

define internal void @run(ptr %descriptor, ptr %arguments, ptr %buffers, ptr %arena, ptr %code) {
  %function = call ptr @address(ptr %descriptor, i64 4)
  %sizes = call ptr @address(ptr %descriptor, i64 5)
  %release = call i64 @word(ptr %descriptor, i64 10)
  %first = getelementptr i8, ptr %arena, i64 8
  %integer = ptrtoint ptr %first to i64
  %up = add i64 %integer, 63
  %aligned = and i64 %up, -64
  %base = inttoptr i64 %aligned to ptr
  %long = icmp ne i64 %release, 0
  br i1 %long, label %free, label %held
held:
  %quick = call i64 %function(ptr %buffers, ptr %sizes, ptr %base)
  store i64 %quick, ptr %code
  ret void
free:
  %count = call i64 @word(ptr %descriptor, i64 0)
  %kept = alloca ptr, i64 %count
  call void @keep(ptr %descriptor, ptr %arguments, ptr %kept)
  %state = call ptr @PyEval_SaveThread()
  %slow = call i64 %function(ptr %buffers, ptr %sizes, ptr %base)
  call void @PyEval_RestoreThread(ptr %state)
  call void @drop(ptr %kept, i64 %count)
  store i64 %slow, ptr %code
  ret void
}

; A new array for each result; false where memory is short, and then there is none.
define internal i1 @allocate(ptr %descriptor, ptr %arguments, ptr %results) {
entry:
  %count = call i64 @word(ptr %descriptor, i64 2)
  %table = call ptr @address(ptr %descriptor, i64 14)
  br label %each
each:
  %k = phi i64 [ 0, %entry ], [ %next, %made ], [ %next_reused, %reuse ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %make, label %good
make:
  %offset = mul i64 %k, 5
  %dtype = call ptr @address(ptr %table, i64 %offset)
  %offset1 = add i64 %offset, 1
  %axes = call i64 @word(ptr %table, i64 %offset1)
  %axes32 = trunc i64 %axes to i32
  %offset2 = add i64 %offset, 2
  %sizes = call ptr @address(ptr %table, i64 %offset2)
  %offset3 = add i64 %offset, 3
  %donor = call i64 @word(ptr %table, i64 %offset3)
  %at = getelementptr ptr, ptr %results, i64 %k
  %own = icmp slt i64 %donor, 0
  br i1 %own, label %new, label %reuse
reuse:
  %wrapper = call ptr @address(ptr %arguments, i64 %donor)
  %donated = call ptr @field(ptr %wrapper, i64 @BUFFER_OFFSET@)
  call void @Py_IncRef(ptr %donated)
  store ptr %donated, ptr %at
  %next_reused = add i64 %k, 1
  br label %each
new:
  call void @Py_IncRef(ptr %dtype)
  %ndarray = call ptr @address(ptr %descriptor, i64 8)
  %offset4 = add i64 %offset, 4
  %large = call i64 @word(ptr %table, i64 %offset4)
  %is_large = icmp ne i64 %large, 0
  br i1 %is_large, label %kept, label %plain
kept:
  %memory = call ptr @address(ptr %descriptor, i64 16)
  %usual = call ptr @fad_set_memory(ptr %memory)
  %large_array = call ptr @fad_new_array(ptr %ndarray, ptr %dtype, i32 %axes32, ptr %sizes, ptr null, ptr null, i32 0, ptr null)
  %again = call ptr @fad_set_memory(ptr %usual)
  call void @Py_DecRef(ptr %usual)
  call void @Py_DecRef(ptr %again)
  br label %allocated
plain:
  %plain_array = call ptr @fad_new_array(ptr %ndarray, ptr %dtype, i32 %axes32, ptr %sizes, ptr null, ptr null, i32 0, ptr null)
  br label %allocated
allocated:
  %array = phi ptr [ %large_array, %kept ], [ %plain_array, %plain ]
  store ptr %array, ptr %at
  %failed = icmp eq ptr %array, null
  %next = add i64 %k, 1
  br i1 %failed, label %bad, label %made
made:
  br label %each
bad:
  call void @drop(ptr %results, i64 %k)
  ret i1 false
good:
  ret i1 true
}

define internal void @drop(ptr %results, i64 %count) {
entry:
  br label %each
each:
  %k = phi i64 [ 0, %entry ], [ %next, %one ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %one, label %done
one:
  %array = call ptr @address(ptr %results, i64 %k)
  call void @Py_DecRef(ptr %array)
  %next = add i64 %k, 1
  br label %each
done:
  ret void
}

; The results as one fad.Array or a tuple of them.
define internal ptr @packed(ptr %descriptor, ptr %results, i64 %count) {
entry:
  %single = call i64 @word(ptr %descriptor, i64 11)
  %one = icmp ne i64 %single, 0
  br i1 %one, label %only, label %many
only:
  %array = load ptr, ptr %results
  %object = call ptr @wrapped(ptr %descriptor, ptr %array)
  ret ptr %object
many:
  %tuple = call ptr @PyTuple_New(i64 %count)
  br label %each
each:
  %k = phi i64 [ 0, %many ], [ %next, %item ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %item, label %done
item:
  %inner = call ptr @address(ptr %results, i64 %k)
  %wrapper = call ptr @wrapped(ptr %descriptor, ptr %inner)
  %status = call i32 @PyTuple_SetItem(ptr %tuple, i64 %k, ptr %wrapper)
  %next = add i64 %k, 1
  br label %each
done:
  ret ptr %tuple
}

define ptr @fad_call(ptr %self, ptr %arguments, i64 %given) {
entry:
  %descriptor = call ptr @field(ptr %self, i64 16)
  %count = call i64 @word(ptr %descriptor, i64 0)
  %fits = icmp eq i64 %given, %count
  br i1 %fits, label %start, label %miss
start:
  %buffer_count = call i64 @word(ptr %descriptor, i64 1)
  %buffers = alloca ptr, i64 %buffer_count
  %places = alloca i64, i64 %count
  %result_count = call i64 @word(ptr %descriptor, i64 2)
  %results = alloca ptr, i64 %result_count
  %code = alloca i64
  %table = call ptr @address(ptr %descriptor, i64 12)
  br label %next_argument
next_argument:
  %i = phi i64 [ 0, %start ], [ %i1, %argument_done ]
  %used0 = phi i64 [ 0, %start ], [ %used1, %argument_done ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %argument, label %constants
argument:
  %row_offset = mul i64 %i, 6
  %row = getelementptr i64, ptr %table, i64 %row_offset
  %argument_object = call ptr @address(ptr %arguments, i64 %i)
  %place = getelementptr i64, ptr %places, i64 %i
  %data = call ptr @elements(ptr %descriptor, ptr %row, ptr %argument_object, ptr %place)
  %unfit = icmp eq ptr %data, null
  br i1 %unfit, label %miss, label %fit
fit:
  %number = call i64 @word(ptr %row, i64 1)
  %unused = icmp slt i64 %number, 0
  br i1 %unused, label %argument_done, label %use
use:
  %buffer_at = getelementptr ptr, ptr %buffers, i64 %number
  store ptr %data, ptr %buffer_at
  %used = add i64 %used0, 1
  br label %argument_done
argument_done:
  %used1 = phi i64 [ %used0, %fit ], [ %used, %use ]
  %i1 = add i64 %i, 1
  br label %next_argument
constants:
  %constant_count = call i64 @word(ptr %descriptor, i64 3)
  %constant_table = call ptr @address(ptr %descriptor, i64 13)
  %after = getelementptr ptr, ptr %buffers, i64 %used0
  %constant_bytes = mul i64 %constant_count, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %after, ptr %constant_table, i64 %constant_bytes, i1 false)
  %ok = call i1 @allocate(ptr %descriptor, ptr %arguments, ptr %results)
  br i1 %ok, label %outputs, label %error
outputs:
  %first_output = add i64 %used0, %constant_count
  br label %next_output
next_output:
  %j = phi i64 [ 0, %outputs ], [ %j1, %output ]
  %more_outputs = icmp slt i64 %j, %result_count
  br i1 %more_outputs, label %output, label %arena
output:
  %output_array = call ptr @address(ptr %results, i64 %j)
  %output_data = call ptr @field(ptr %output_array, i64 16)
  %output_number = add i64 %first_output, %j
  %output_at = getelementptr ptr, ptr %buffers, i64 %output_number
  store ptr %output_data, ptr %output_at
  %j1 = add i64 %j, 1
  br label %next_output
arena:
  %arena_bytes = call i64 @word(ptr %descriptor, i64 6)
  %no_arena = icmp eq i64 %arena_bytes, 0
  br i1 %no_arena, label %go_without, label %take
go_without:
  call void @run(ptr %descriptor, ptr %arguments, ptr %buffers, ptr %places, ptr %code)
  br label %ran
take:
  %memory = call ptr @take_arena(i64 %arena_bytes)
  %short = icmp eq ptr %memory, null
  br i1 %short, label %no_memory, label %go
go:
  call void @run(ptr %descriptor, ptr %arguments, ptr %buffers, ptr %memory, ptr %code)
  call void @give_arena(ptr %memory)
  br label %ran
ran:
  %result = load i64, ptr %code
  %succeeded = icmp eq i64 %result, 0
  br i1 %succeeded, label %pack, label %failed
pack:
  %packed_result = call ptr @packed(ptr %descriptor, ptr %results, i64 %result_count)
  ret ptr %packed_result
failed:
  call void @drop(ptr %results, i64 %result_count)
  %failure = call ptr @answer(ptr %descriptor, i64 15)
  ret ptr %failure
no_memory:
  call void @drop(ptr %results, i64 %result_count)
  %raised = call ptr @PyErr_NoMemory()
  ret ptr null
error:
  ret ptr null
miss:
  %missed = call ptr @answer(ptr %descriptor, i64 9)
  ret ptr %missed
}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""

_LARGEST_KEPT = 64 << 20
_ABBREVIATION = re.compile(r"^  (%\S+) = call (i64|ptr) @(word|address|field)\(ptr (%\S+), i64 (\S+)\)$", re.MULTILINE)


def caller_source(buffer_offset: int) -> str:
    """The caller's text for a given place of the buffer in a ``fad.Array``.

    ``@word`` and ``@address`` (element of an array of words) and ``@field`` (word at an offset in bytes) are written out here, so that the text
    needs no optimisation, which would take longer than all else.
    """
    text = _SOURCE.replace("@BUFFER_OFFSET@", str(buffer_offset)).replace("@LARGEST_KEPT@", str(_LARGEST_KEPT))
    return _ABBREVIATION.sub(_written_out, text + whole_pages_text())


def _written_out(match: re.Match[str]) -> str:
    name, kind, what, base, number = match.groups()
    unit = "i8" if what == "field" else "i64"
    return f"  {name}.at = getelementptr {unit}, ptr {base}, i64 {number}\n  {name} = load {kind}, ptr {name}.at"
