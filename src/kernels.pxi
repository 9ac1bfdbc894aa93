# One kernel on buffers of Python, and the probes: what nncore.kernels, the tests and the benchmarks call.

from time import perf_counter

SCRATCH_BYTES = NN_SCRATCH

cdef dict FORMATS = {"real": "f", "float64": "d", "int32": "i", "int64": "lq", "byte": "B"}
"""The buffer formats of the dtypes of operands, rates, rows and scratch."""


cdef View hold(list held, str what, object array, bint writable):
    """The buffer of an array, kept in ``held`` until the kernel has run."""
    try:
        view = View(array, writable)
        held.append(view)
        return view
    except (BufferError, TypeError, ValueError) as error:
        raise TypeError(f"{what} must be an array{', writable' if writable else ''}: {error}.") from None


cdef void *address(str what, View view, str dtype, object size) except *:
    """Where the elements of a C-contiguous view are, its dtype and number of elements checked."""
    received = view.buffer.format.decode()
    if received.lstrip("@=<") not in FORMATS[dtype]:
        raise TypeError(f"{what} must have the dtype {dtype}. Received: the buffer format {received!r}.")
    if not PyBuffer_IsContiguous(&view.buffer, b"C"):
        raise ValueError(f"{what} must be C-contiguous. Received: a strided view.")
    if size is not None and view.buffer.len != size * view.buffer.itemsize:
        raise ValueError(f"{what} must have {size} elements. Received: {view.buffer.len // view.buffer.itemsize}.")
    return view.buffer.buf


cdef nn_dtype source_dtype(str what, str received, Py_ssize_t itemsize) except *:
    """The dtype of a buffer format in this machine's byte order."""
    cdef str letter = received.lstrip("@=<")
    if letter == "f":
        return NN_F32
    if letter == "d":
        return NN_F64
    if letter == "?":
        return NN_BOOL
    if len(letter) == 1 and letter in "bhilq":
        return {1: NN_I8, 2: NN_I16, 4: NN_I32, 8: NN_I64}[itemsize]
    if len(letter) == 1 and letter in "BHILQ":
        return {1: NN_U8, 2: NN_U16, 4: NN_U32, 8: NN_U64}[itemsize]
    raise TypeError(
        f"{what} must have a boolean, integer, float32 or float64 dtype in this machine's byte order. "
        f"Received: the buffer format {received!r}."
    )


cdef nn_source source_of(str what, View view) except *:
    """An operand of dtype "any": rows of any array."""
    cdef nn_source source
    if view.buffer.ndim != 2:
        raise ValueError(f"{what} must have 2 axes. Received: {view.buffer.ndim}.")
    source.base = <const char *>view.buffer.buf
    source.row_stride, source.column_stride = view.buffer.strides[0], view.buffer.strides[1]
    source.dtype = source_dtype(what, view.buffer.format.decode(), view.buffer.itemsize)
    source.size = view.buffer.shape[0] * abs(source.row_stride)
    return source


def call(str op, outputs, inputs, dtypes, sizes, dims, attributes=(), *, rows=None, int64_t first=0,
         uint64_t number=0, uint64_t seed=0, rates=None, isa=None, int parts=1, scratch=None):
    """Run the kernel of ``op`` on buffers, in ``parts`` shares one after the other.

    Args:
        op: The op's name in ``nncore.ops``.
        outputs, inputs: Buffers, or None where an optional operand is absent.
        dtypes, sizes: The dtype (``nncore.program.DTYPES``) and element count each operand must have, outputs first.
        dims: The extents of the signature's letters, in the order of ``Op.letters``.
        attributes: In the op's order.
        rows, first, number, seed, rates: The fields of the step.
        isa: The table to run; the chosen one where None.
        scratch: A writable buffer of ``parts * SCRATCH_BYTES`` bytes, and 63 more where it may not begin at a multiple
            of 64; allocated where None.

    Every operand is checked for its dtype, size and contiguity; the values of ``rows`` and of labels are the caller's
    to check. The GIL is released while the kernel runs.
    """
    cdef const nn_table *table = chosen_table if isa is None else find_table(isa)
    cdef nn_kernel kernel = table.kernel[<int>find_op(op)]
    cdef nn_instr instr
    cdef nn_source sources[NN_OPERANDS]
    cdef nn_step step
    cdef nn_float_mode mode
    cdef list held = []
    cdef View view
    cdef int i, part
    arrays = [*outputs, *inputs]
    if not (len(arrays) == len(dtypes) == len(sizes) <= NN_OPERANDS and len(dims) <= NN_DIMS
            and len(attributes) <= NN_ATTRIBUTES and parts >= 1):
        raise ValueError(f"{op}: operands, dtypes and sizes differ in number, or too many of them, or parts < 1.")
    for i, array in enumerate(arrays):
        instr.operand[i] = NULL
        if array is None:
            continue
        what = f"{op}: output {i}" if i < len(outputs) else f"{op}: input {i - len(outputs)}"
        view = hold(held, what, array, i < len(outputs))
        if dtypes[i] == "any":
            sources[i] = source_of(what, view)
            instr.operand[i] = &sources[i]
        else:
            instr.operand[i] = address(what, view, dtypes[i], sizes[i])
    for i, dim in enumerate(dims):
        instr.dim[i] = dim
    for i, attribute in enumerate(attributes):
        instr.attribute[i] = attribute
    step.first, step.ahead, step.number, step.seed = first, 0, number, seed
    step.rows, step.next_rows, step.rates = NULL, NULL, NULL
    if rows is not None:
        view = hold(held, f"{op}: rows", rows, False)
        step.rows = <const int64_t *>address(f"{op}: rows", view, "int64", None)
    if rates is not None:
        view = hold(held, f"{op}: rates", rates, False)
        step.rates = <const double *>address(f"{op}: rates", view, "float64", None)
    view = hold(held, f"{op}: scratch", bytearray(parts * NN_SCRATCH + 63) if scratch is None else scratch, True)
    instr.scratch = nn_align(address(f"{op}: scratch", view, "byte", None))
    if instr.scratch + parts * NN_SCRATCH > <char *>view.buffer.buf + view.buffer.len:
        raise ValueError(f"{op}: scratch must have {NN_SCRATCH} bytes a part from the first multiple of 64 on.")
    with nogil:
        mode = nn_flush_denormals()
        for part in range(parts):
            kernel(&instr, &step, part, parts)
        nn_restore_denormals(mode)


def peak_gflops(double seconds=0.05, isa=None):
    """The multiply-adds in registers that this core can do, in 10⁹ floating-point operations a second.

    The best of several runs that take about ``seconds`` together: what the matrix products are measured against.
    """
    cdef const nn_table *table = chosen_table if isa is None else find_table(isa)
    cdef int64_t rounds = 100_000, flops
    cdef real sink
    cdef double best = 0
    end = perf_counter() + seconds
    while True:
        sink = 0.5
        start = perf_counter()
        with nogil:
            flops = table.fma_probe(rounds, &sink)
        best = max(best, flops / (perf_counter() - start) / 1e9)
        if perf_counter() >= end:
            return best


def read_gbytes(buffer, double seconds=0.05, isa=None):
    """How fast this core reads ``buffer`` (float32) again and again, in 10⁹ bytes a second: the best pass."""
    cdef const nn_table *table = chosen_table if isa is None else find_table(isa)
    cdef View view = hold([], "buffer", buffer, False)
    cdef const real *data = <const real *>address("buffer", view, "real", None)
    cdef int64_t count = view.buffer.len // <int64_t>sizeof(real), repeats = 1 + (1 << 20) // (count + 1), i, read
    cdef real sink
    cdef double best = 0
    end = perf_counter() + seconds
    while True:
        start = perf_counter()
        with nogil:
            read = 0
            for i in range(repeats):
                read += table.read_probe(data, count, &sink)
        best = max(best, read / (perf_counter() - start) / 1e9)
        if perf_counter() >= end:
            return best
