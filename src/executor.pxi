# The executor: runs a program over the batches of an epoch without Python.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdlib cimport free, malloc

cdef extern from "runtime.h" nogil:
    double nn_seconds()
    void *nn_take(void **slot, size_t size)
    void nn_give(void **slot, void *block)
    char *nn_align(void *p)

cdef enum:
    # Where an operand lives: the flat memories in the order in which run() takes them, then the caller's arrays.
    WORKSPACE = 5
    ARRAYS = 6
    REGIONS = 6
    MAX_ARRAYS = 8

cdef double BREATH = 0.05
"""Seconds after which a run looks for signals and reports its progress."""

cdef double HEAVY = 2e8
"""Multiply-adds after which it looks at the clock inside a batch."""


cdef struct Operand:
    int region  # -1: absent
    int64_t offset  # in bytes; among the caller's arrays: which one


cdef struct Extent:
    int64_t size
    int64_t per_row  # 1 where it counts rows of the batch


cdef struct Template:
    int op
    Operand operand[8]
    Extent dim[4]
    double attribute[4]
    double work  # multiply-adds per row of a batch, roughly


cdef struct Bound:
    nn_instr instr
    nn_kernel kernel


cdef class View:
    """The buffer of an array, held while it is in use."""

    cdef Py_buffer buffer
    cdef bint held

    def __cinit__(self, object array, bint writable):
        PyObject_GetBuffer(array, &self.buffer, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)


cdef class Code:
    """A program for batches of up to ``batch`` rows.

    Args:
        instructions: ``(op, operands, dims, attributes)`` each: operands as ``(region, byte offset)`` or ``None``, dims
            as ``(size, per_row)``.
        arrays: ``"source"``, ``"input"`` or ``"output"`` for each array that run() takes.
        batch: Rows in a full batch.
        sizes: Bytes that each of the six memories must have.
        updates_from: The first instruction that changes weights: a run may stop before it, not after.
        table: The instruction set to run on, by name; ``None`` for the chosen one.
    """

    cdef Template *templates
    cdef int count
    cdef int updates_from
    cdef int64_t batch
    cdef list kinds
    cdef int64_t size[REGIONS]
    cdef const nn_table *table
    cdef void *block  # instructions of both batch sizes and scratch, kept between runs

    def __cinit__(self, list instructions, list arrays, int64_t batch, list sizes, int updates_from, table=None):
        cdef int i, j
        cdef Template *t
        if len(arrays) > MAX_ARRAYS:
            raise ValueError(f"A program takes at most {MAX_ARRAYS} arrays. Received: {len(arrays)}.")
        self.table = chosen_table if table is None else find_table(table)
        self.kinds = arrays
        self.batch = batch
        self.updates_from = updates_from
        for i in range(REGIONS):
            self.size[i] = sizes[i]
        self.count = len(instructions)
        self.templates = <Template *> malloc(max(1, self.count) * sizeof(Template))
        if self.templates == NULL:
            raise MemoryError()
        for i in range(self.count):
            op, operands, dims, attributes = instructions[i]
            t = &self.templates[i]
            t.op = OP_INDEX[op]
            t.work = 1
            for j in range(8):
                t.operand[j].region = -1
                if j < len(operands) and operands[j] is not None:
                    t.operand[j].region, t.operand[j].offset = operands[j]
            for j in range(4):
                t.dim[j].size, t.dim[j].per_row = dims[j] if j < len(dims) else (0, 0)
                if j < len(dims):
                    t.work *= t.dim[j].size
                t.attribute[j] = attributes[j] if j < len(attributes) else 0

    def __dealloc__(self):
        free(self.templates)
        free(self.block)

    cdef void bind(self, Bound *bound, int64_t rows, char **region, char *scratch) noexcept nogil:
        """Resolve the templates for a batch of ``rows``."""
        cdef int i, j
        cdef Template *t
        for i in range(self.count):
            t = &self.templates[i]
            bound[i].kernel = self.table.kernel[t.op]
            bound[i].instr.scratch = scratch
            for j in range(8):
                bound[i].instr.operand[j] = NULL
                if 0 <= t.operand[j].region < ARRAYS:
                    bound[i].instr.operand[j] = region[t.operand[j].region] + t.operand[j].offset
            for j in range(4):
                bound[i].instr.dim[j] = t.dim[j].size * (rows if t.dim[j].per_row else 1)
                bound[i].instr.attribute[j] = t.attribute[j]

    cdef void point(self, Bound *bound, nn_source *sources, int64_t first) noexcept nogil:
        """Let the operands among the caller's arrays point at the batch that starts at row ``first``."""
        cdef int i, j, which
        for i in range(self.count):
            for j in range(8):
                if self.templates[i].operand[j].region == ARRAYS:
                    which = <int> self.templates[i].operand[j].offset
                    if sources[which].dtype == <nn_dtype> -1:
                        bound[i].instr.operand[j] = <char *> sources[which].base + first * sources[which].row_stride
                    else:
                        bound[i].instr.operand[j] = &sources[which]

    def run(
        self, list memories, list arrays, int64_t count, rows, uint64_t step, uint64_t seed, rates,
        int64_t first, int64_t last, int64_t[::1] done, poll=None,
    ):
        """Run batches ``first`` to ``last`` over ``count`` rows; ``done[0]`` counts those finished.

        Every now and then looks for signals and calls ``poll(batches finished)``; an exception stops the run before the
        next change of weights.
        """
        cdef char *region[REGIONS]
        cdef nn_source sources[MAX_ARRAYS]
        cdef nn_step now
        cdef list held = []
        cdef View view
        cdef int i
        cdef bint moving = False
        cdef int64_t rates_stride = 0
        for i in range(REGIONS):
            region[i] = NULL
            if self.size[i]:
                view = View(memories[i], True)
                held.append(view)
                if view.buffer.len < self.size[i]:
                    raise ValueError(f"Memory {i} has {view.buffer.len} bytes, {self.size[i]} are needed.")
                region[i] = <char *> view.buffer.buf
        if len(arrays) != len(self.kinds):
            raise ValueError(f"The program takes {len(self.kinds)} arrays. Received: {len(arrays)}.")
        for i in range(len(arrays)):
            view = View(arrays[i], self.kinds[i] == "output")
            held.append(view)
            if view.buffer.ndim < 1 or view.buffer.shape[0] < (count if rows is None else 0):
                raise ValueError(f"Array {i} has too few rows for {count}.")
            sources[i].base = <char *> view.buffer.buf
            sources[i].row_stride = view.buffer.strides[0]
            sources[i].column_stride = view.buffer.strides[1] if view.buffer.ndim > 1 else view.buffer.itemsize
            if self.kinds[i] == "source":
                sources[i].dtype = source_dtype(f"Array {i}", view.buffer.format.decode(), view.buffer.itemsize)
            else:
                sources[i].dtype = <nn_dtype> -1
                moving = True
        now.rows = NULL
        if rows is not None:
            view = View(rows, False)
            held.append(view)
            if view.buffer.itemsize != 8 or view.buffer.strides[0] != 8 or view.buffer.len < 8 * count:
                raise ValueError("rows must be a contiguous int64 vector with one entry a row.")
            now.rows = <const int64_t *> view.buffer.buf
        now.rates = NULL
        if rates is not None:
            view = View(rates, False)
            held.append(view)
            if view.buffer.ndim != 2 or view.buffer.itemsize != 8 or view.buffer.shape[0] < last - first:
                raise ValueError("rates must be a float64 matrix with one row a batch of the run.")
            now.rates = <const double *> view.buffer.buf
            rates_stride = view.buffer.strides[0] // 8
        if first < 0 or (last - 1) * self.batch >= count:
            raise ValueError(f"Batches {first} to {last} of {self.batch} rows do not lie within {count} rows.")
        self._run(region, sources, now, count, step, seed, rates_stride, first, last, moving, &done[0], poll)

    cdef _run(
        self, char **region, nn_source *sources, nn_step now, int64_t count, uint64_t step, uint64_t seed,
        int64_t rates_stride, int64_t first, int64_t last, bint moving, int64_t *done, object poll,
    ):
        cdef size_t bytes = 64 + 2 * self.count * sizeof(Bound) + NN_SCRATCH
        cdef void *block = nn_take(&self.block, bytes)
        if block == NULL:
            raise MemoryError()
        cdef char *scratch = nn_align(block)
        cdef Bound *full = <Bound *> (scratch + NN_SCRATCH)
        cdef Bound *bound
        cdef int64_t b, start, size
        cdef const int64_t *rows = now.rows
        cdef const double *rates = now.rates
        cdef double breath = nn_seconds()
        cdef double work
        cdef int i
        cdef nn_float_mode mode
        try:
            with nogil:
                mode = nn_flush_denormals()
                self.bind(full, self.batch, region, scratch)
                self.point(full, sources, 0)
                work = 0
                for b in range(first, last):
                    start = b * self.batch
                    size = min(self.batch, count - start)
                    bound = full
                    if size < self.batch:
                        bound = full + self.count
                        self.bind(bound, size, region, scratch)
                        self.point(bound, sources, start)
                    elif moving:
                        self.point(bound, sources, start)
                    now.rows = rows + start if rows != NULL else NULL
                    now.first = start
                    now.number = step + b
                    now.seed = seed
                    now.rates = rates + (b - first) * rates_stride if rates != NULL else NULL
                    for i in range(self.count):
                        if work > HEAVY and i <= self.updates_from:
                            work = 0
                            if nn_seconds() - breath >= BREATH:
                                breath = nn_seconds()
                                nn_restore_denormals(mode)
                                with gil:
                                    PyErr_CheckSignals()
                                mode = nn_flush_denormals()
                        bound[i].kernel(&bound[i].instr, &now, 0, 1)
                        work += self.templates[i].work * <double> size
                    done[0] = b + 1
                    if nn_seconds() - breath >= BREATH:
                        nn_restore_denormals(mode)
                        with gil:
                            PyErr_CheckSignals()
                            if poll is not None:
                                poll(b + 1)
                        mode = nn_flush_denormals()
                        breath = nn_seconds()
                nn_restore_denormals(mode)
        finally:
            nn_give(&self.block, block)
