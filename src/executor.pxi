# The executor: runs a program over the batches of an epoch without Python.

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy
from numpy import dtype, empty as new_array

cdef extern from "runtime.h" nogil:
    double nn_seconds()
    void *nn_take(void **slot, size_t size, size_t head)
    void nn_give(void **slot, void *block)
    char *nn_align(void *p)
    char *nn_inside(void *block)

cdef extern from "threads.h" nogil:
    ctypedef void (*nn_job)(void *context, int share, int shares, int thread) noexcept nogil
    int nn_take_team(int threads)
    void nn_leave_team(int threads)
    void nn_deal(nn_job job, void *context, int shares)
    int nn_get_limit()
    void nn_set_limit(int threads)
    int nn_own_limit

cdef enum:
    # Where an operand lives: the memories in the order in which run() takes them, then the caller's arrays.
    TOTALS = 4
    WORKSPACE = 5
    REGIONS = 6
    ARRAYS = 6
    MAX_ARRAYS = 8
    PYTHON = -1  # the op of an instruction that is a call of Python

cdef object FLOAT32 = dtype("f")

cdef double BREATH = 0.02
"""Seconds after which a run looks for signals and reports its progress."""

cdef double SHORT = 5e3
"""Nanoseconds of estimated work below which a run keeps the GIL, and looks at no clock: both would cost more."""

cdef double LIGHT = 100e3
"""Nanoseconds of estimated work after which a run looks at the clock between two batches."""

cdef double HEAVY = 5e6
"""Nanoseconds of estimated work after which it looks at the clock inside a batch."""

cdef double SLICE = 20e6
"""Nanoseconds of estimated work that a kernel is given at a time."""

cdef double TEAM_WORK = 200e3
"""Nanoseconds of estimated work in a batch for each thread beyond the first."""

cdef double SHARED_WORK = 5e3
"""Nanoseconds of estimated work in an instruction from which a team shares it."""


cdef struct Operand:
    int region  # -1: absent
    int64_t offset  # in bytes; among the caller's arrays: which one


cdef struct Extent:
    int64_t size
    int64_t per_row  # 1 where it counts rows of the batch


cdef struct Template:
    int op
    Operand operand[10]
    Extent dim[4]
    double attribute[6]
    double cost  # nanoseconds for each of the dims' product
    int when  # the rate that must not be 0 for it to run; -1: it always does


cdef struct Bound:
    nn_instr instr
    nn_kernel kernel
    double cost  # nanoseconds on one thread
    int when


cdef struct Moving:
    # An operand among the caller's arrays.
    int instruction, operand, array


cdef struct Held:
    # What the instructions in a block are bound to: as long as it stays, they do.
    int64_t rows[2]  # of the full and of the smaller batch; 0: bound to nothing
    char *region[ARRAYS]


cdef struct Run:
    # What the threads of one run share. Only the caller's writes.
    Bound *full  # the instructions for a full batch
    Bound *tail  # and for a smaller one
    Bound *bound  # the ones at work
    int count
    int updates_from
    nn_source *sources
    bint by_batch  # whether an operand moves through the caller's arrays from batch to batch
    Moving *moving  # the operands among the caller's arrays
    int moving_count
    int64_t *rows  # room for those of two batches, the one at hand and the next; NULL: consecutive rows
    nn_instr order  # op_row_order, which fills it
    nn_step positions
    const double *rates
    int64_t rates_stride
    uint64_t step
    int64_t batch, row_count, first, last, at
    nn_step now
    const double *watched  # a total; the run stops after the batch that makes it NaN or infinite. NULL: none is watched
    bint stop  # the caller's wish, which it does not take back
    int dealt  # the instruction at work on all threads
    double breath, work
    int64_t *done
    Template *templates
    const nn_table *table
    Held *held
    void *air  # the Air
    bint calls  # whether there are instructions that call Python
    bint special  # or any that run at some steps only
    nn_float_mode caller  # how the caller's thread treats denormals
    char **region
    char *scratch


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


cdef class Air:
    """What a run does when it comes up for air: the caller's ``poll`` and ``call``, and the exception that stopped it."""

    cdef object poll
    cdef object call
    cdef object error


cdef class Code:
    """A program for batches of up to ``batch`` rows.

    Args:
        instructions: ``(op, operands, dims, attributes, cost, when)`` each: operands as ``(region, byte offset)`` or
            ``None``, dims as ``(size, per_row)``, cost in nanoseconds for each of the dims' product, and the index of
            the rate that must not be 0 for it to run, or -1.
        arrays: ``"source"``, ``"pool"``, ``"input"`` or ``"output"`` for each array that run() takes.
        batch: Rows in a full batch.
        sizes: Bytes that each of the six memories must have.
        updates_from: The first instruction from which on a batch must be finished: a run may stop before it, not after.
        table: The instruction set to run on, by name; ``None`` for the chosen one.
    """

    cdef Template *templates
    cdef Moving *moving
    cdef int count, moving_count
    cdef int updates_from
    cdef bint sometimes  # whether an instruction runs at some steps only
    cdef int64_t batch
    cdef double fixed_cost, cost_per_row
    cdef list kinds
    cdef int64_t size[REGIONS]
    cdef const nn_table *table
    cdef void *block  # instructions of both batch sizes, workspace and scratch, kept between runs

    def __cinit__(self, list instructions, list arrays, int64_t batch, list sizes, int updates_from, table=None):
        cdef int i, j
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
        self.moving = <Moving *> malloc(max(1, self.count) * NN_OPERANDS * sizeof(Moving))
        if self.templates == NULL or self.moving == NULL:
            raise MemoryError()
        for i in range(self.count):
            fill_template(&self.templates[i], instructions[i])
            self.sometimes = self.sometimes or self.templates[i].when >= 0
            self.fixed_cost += template_cost(&self.templates[i], 0)
            self.cost_per_row += template_cost(&self.templates[i], 1) - template_cost(&self.templates[i], 0)
            for j in range(NN_OPERANDS):
                if self.templates[i].operand[j].region == ARRAYS:
                    self.moving[self.moving_count] = Moving(i, j, <int> self.templates[i].operand[j].offset)
                    self.moving_count += 1

    def __dealloc__(self):
        free(self.templates)
        free(self.moving)
        free(self.block)

    cpdef double cost_of(self, int64_t rows):
        """Estimated nanoseconds of a batch of ``rows`` on one thread."""
        return self.fixed_cost + self.cost_per_row * <double> rows

    def run(
        self, list memories, list arrays, int64_t count, tuple shuffle, uint64_t step, uint64_t seed, rates,
        int64_t first, int64_t last, int64_t[::1] done, poll=None, call=None, int64_t watched=-1,
    ):
        """Run batches ``first`` to ``last`` over ``count`` rows; ``done[0]`` counts those finished.

        ``shuffle`` is the key and the block of a ``nncore.ops.Shuffle``, ``None`` where rows are consecutive.
        The workspace among the memories may be ``None``: the code has one of its own for each call at work. Every now
        and then looks for signals and calls ``poll(batches finished)``; an exception stops the run before the
        next batch, or inside one as long as it may be broken off. ``call(i, batch)`` does instruction ``i`` where its op
        is ``"python"``; what it raises stops the run at once. ``watched``
        is the byte offset of a total: where it becomes NaN or infinite, the run stops after that batch. -1: none.
        """
        cdef char *region[REGIONS]
        cdef nn_source sources[MAX_ARRAYS]
        cdef Run run
        cdef list held = []
        cdef View view
        cdef int64_t block
        cdef int i
        if first < 0 or (last - 1) * self.batch >= count:
            raise ValueError(f"Batches {first} to {last} of {self.batch} rows do not lie within {count} rows.")
        if shuffle is not None:
            run.positions.seed, block = shuffle
            if block < 1 or (block < count and block % self.batch):
                raise ValueError(
                    f"shuffle must permute blocks of whole batches, of {self.batch} rows, or all {count} rows. "
                    f"Received: blocks of {block}."
                )
            run.order.attribute[0], run.order.attribute[1] = count, block
        for i in range(REGIONS):
            region[i] = NULL
            if self.size[i] and memories[i] is not None:
                region[i] = hold_memory(held, i, memories[i], self.size[i])
        run.by_batch = self.hold_arrays(held, arrays, sources, count)
        run.rates = NULL
        run.rates_stride = 0
        if rates is not None:
            view = View(rates, False)
            held.append(view)
            if view.buffer.ndim != 2 or view.buffer.itemsize != 8 or view.buffer.shape[0] < last - first:
                raise ValueError("rates must be a float64 matrix with one row a batch of the run.")
            run.rates = <const double *> view.buffer.buf
            run.rates_stride = view.buffer.strides[0] // 8
        run.sources, run.region = sources, region
        run.step, run.now.seed = step, seed
        run.row_count, run.first, run.last, run.at = count, first, last, first
        run.done = &done[0]
        run.watched = NULL
        if watched >= 0:
            run.watched = <const double *> (region[TOTALS] + watched)
        run.calls = call is not None
        self.execute(&run, shuffle is not None, poll, call)

    cdef bint hold_arrays(self, list held, list arrays, nn_source *sources, int64_t rows) except -1:
        """Fill ``sources`` from the caller's arrays; whether any of them is read or written batch by batch."""
        cdef int i
        cdef View view
        cdef bint by_batch = False
        if len(arrays) != len(self.kinds):
            raise ValueError(f"The program takes {len(self.kinds)} arrays. Received: {len(arrays)}.")
        for i in range(len(arrays)):
            view = View(arrays[i], self.kinds[i] == "output")
            held.append(view)
            if view.buffer.ndim < 1 or (view.buffer.shape[0] < rows and self.kinds[i] != "pool"):
                raise ValueError(f"Array {i} must have at least {rows} rows.")
            if self.kinds[i] in ("source", "pool"):
                sources[i] = source_of(f"Array {i}", view)
            else:
                sources[i].base, sources[i].row_stride = <char *> view.buffer.buf, view.buffer.strides[0]
                sources[i].dtype = <nn_dtype> -1
                by_batch = True
        return by_batch

    def predictor(self, list memories, tuple sample_shape, tuple output_shape):
        """A function of (x, out=None) that runs this code, which has one input and one output, on ``memories``."""
        cdef Predictor predictor = Predictor()
        cdef int i
        predictor.code = self
        predictor.held = []
        for i in range(REGIONS):
            predictor.region[i] = NULL
            if self.size[i] and memories[i] is not None:
                predictor.region[i] = hold_memory(predictor.held, i, memories[i], self.size[i])
        predictor.input = self.kinds.index("input")
        predictor.output = self.kinds.index("output")
        predictor.sample_shape, predictor.output_shape = sample_shape, output_shape
        return predictor.predict

    cdef int execute(self, Run *run, bint shuffled, object poll, object call) except -1:
        """Run with instructions, scratch and row numbers of its own, on as many threads as a batch is worth."""
        cdef double cost = self.cost_of(min(self.batch, run.row_count))
        cdef bint short = cost * <double> (run.last - run.first) < SHORT and not run.calls
        cdef int parts = 1 if short else threads_for(cost)
        cdef size_t bounds = (sizeof(Held) + 2 * self.count * sizeof(Bound) + 63) // 64 * 64
        cdef size_t rows = (2 * self.batch * sizeof(int64_t) + 63) // 64 * 64
        cdef size_t workspace = (self.size[WORKSPACE] + 63) // 64 * 64
        cdef size_t scratch = <size_t> parts * NN_SCRATCH
        cdef void *block = nn_take(&self.block, 64 + bounds + rows + workspace + scratch, sizeof(Held))
        cdef Air air
        if block == NULL:
            raise MemoryError()
        run.templates, run.moving, run.moving_count, run.table = self.templates, self.moving, self.moving_count, self.table
        run.count, run.updates_from, run.batch = self.count, self.updates_from, self.batch
        run.special = run.calls or self.sometimes
        run.held = <Held *> nn_inside(block)
        run.full = <Bound *> (run.held + 1)
        run.tail = run.full + self.count
        run.scratch = <char *> run.held + bounds + rows + workspace
        if run.region[WORKSPACE] == NULL:
            run.region[WORKSPACE] = <char *> run.held + bounds + rows
        run.rows = <int64_t *> (<char *> run.held + bounds) if shuffled else NULL
        run.stop = False
        if short:
            run_short(run)
            nn_give(&self.block, block)
            return 0
        air = Air()
        air.poll, air.call = poll, call
        run.air = <void *> air
        run.work = 0
        run.breath = nn_seconds()
        with nogil:
            parts = nn_take_team(parts)
            run_batches(run, parts)
            nn_leave_team(parts)
        nn_give(&self.block, block)
        if air.error is not None:
            raise air.error
        return 0


cdef class Predictor:
    """Predictions with as little as possible around the kernels; see ``Code.predictor``."""

    cdef Code code
    cdef list held
    cdef char *region[REGIONS]
    cdef int input, output
    cdef tuple sample_shape, output_shape

    def predict(self, x, out=None):
        """Predictions for float32 samples in C order, in ``out`` or a new array; ``None`` where x or out is not such."""
        cdef Py_buffer samples, results
        cdef nn_source sources[MAX_ARRAYS]
        cdef char *region[REGIONS]
        cdef Run run
        cdef int64_t done, rows
        if not get_float32(&samples, x, self.sample_shape, -1, False):
            return None
        rows = samples.shape[0]
        try:
            if out is None:
                # Its format is known: NumPy would spell it out anew for each array.
                out = new_array((rows,) + self.output_shape, FLOAT32)
                PyObject_GetBuffer(out, &results, PyBUF_WRITABLE)
            elif not get_float32(&results, out, self.output_shape, rows, True):
                return None
            try:
                memcpy(region, self.region, sizeof(region))
                sources[self.input].base, sources[self.input].row_stride = <char *> samples.buf, samples.len // rows
                sources[self.output].base, sources[self.output].row_stride = <char *> results.buf, results.len // rows
                sources[self.input].dtype = sources[self.output].dtype = <nn_dtype> -1
                run.by_batch = True
                run.rows, run.rates, run.rates_stride = NULL, NULL, 0
                run.sources, run.region = sources, region
                run.step = run.now.seed = 0
                run.row_count, run.first, run.at = rows, 0, 0
                run.last = (rows + self.code.batch - 1) // self.code.batch
                run.done = &done
                run.watched = NULL
                run.calls = False
                self.code.execute(&run, False, None, None)
            finally:
                PyBuffer_Release(&results)
        finally:
            PyBuffer_Release(&samples)
        return out


cdef bint get_float32(Py_buffer *view, object array, tuple shape, int64_t rows, bint writable) except -1:
    """Whether ``array`` is float32 in C order with rows of ``shape``, at least one, or exactly ``rows``; then the view
    is held."""
    cdef int i
    cdef bint fits
    try:
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
    except (BufferError, TypeError, ValueError):
        return False
    fits = view.ndim == len(shape) + 1 and view.format[0] == b"f" and view.format[1] == 0
    fits = fits and view.shape[0] > 0 and (rows < 0 or view.shape[0] == rows)
    for i in range(1, view.ndim):
        fits = fits and view.shape[i] == <Py_ssize_t> shape[i - 1]
    if not fits:
        PyBuffer_Release(view)
    return fits


cdef int fill_template(Template *t, instruction) except -1:
    cdef int j
    op, operands, dims, attributes, t.cost, t.when = instruction
    t.op = PYTHON if op == "python" else OP_INDEX[op]
    for j in range(NN_OPERANDS):
        t.operand[j].region = -1
        if j < len(operands) and operands[j] is not None:
            t.operand[j].region, t.operand[j].offset = operands[j]
    for j in range(NN_DIMS):
        t.dim[j].size, t.dim[j].per_row = dims[j] if j < len(dims) else (1, 0)
    for j in range(NN_ATTRIBUTES):
        t.attribute[j] = attributes[j] if j < len(attributes) else 0
    return 0


cdef int threads_for(double cost) noexcept:
    """How many threads a batch of ``cost`` nanoseconds is worth."""
    return max(1, min(nn_get_limit(), 1 + <int> (cost / TEAM_WORK)))


cdef double template_cost(Template *t, int64_t rows) noexcept nogil:
    """Estimated nanoseconds of an instruction on one thread."""
    cdef double cost = t.cost
    cdef int j
    for j in range(NN_DIMS):
        cost *= <double> (t.dim[j].size * (rows if t.dim[j].per_row else 1))
    return cost


cdef char *hold_memory(list held, int which, object memory, int64_t size) except NULL:
    cdef View view = View(memory, True)
    held.append(view)
    if view.buffer.len < size:
        raise ValueError(f"Memory {which} has {view.buffer.len} bytes, {size} are needed.")
    return <char *> view.buffer.buf


cdef void bind(Run *run, Bound *bound, int64_t rows) noexcept nogil:
    """Resolve the templates for a batch of ``rows``, unless the block has kept them so from the run before."""
    cdef int i, j
    cdef Template *t
    cdef int64_t *held_rows = &run.held.rows[0 if bound == run.full else 1]
    if memcmp(run.held.region, run.region, sizeof(run.held.region)) != 0:
        memcpy(run.held.region, run.region, sizeof(run.held.region))
        run.held.rows[0] = run.held.rows[1] = 0
    if held_rows[0] == rows:
        return
    held_rows[0] = rows
    for i in range(run.count):
        t = &run.templates[i]
        bound[i].kernel = NULL if t.op == PYTHON else run.table.kernel[t.op]
        bound[i].cost = template_cost(t, rows)
        bound[i].when = t.when
        bound[i].instr.scratch = run.scratch
        for j in range(NN_OPERANDS):
            bound[i].instr.operand[j] = NULL
            if 0 <= t.operand[j].region < ARRAYS:
                bound[i].instr.operand[j] = run.region[t.operand[j].region] + t.operand[j].offset
        for j in range(NN_DIMS):
            bound[i].instr.dim[j] = t.dim[j].size * (rows if t.dim[j].per_row else 1)
        for j in range(NN_ATTRIBUTES):
            bound[i].instr.attribute[j] = t.attribute[j]


cdef void point(Run *run, Bound *bound, int64_t first) noexcept nogil:
    """Let the operands among the caller's arrays point at the batch that starts at row ``first``."""
    cdef int i
    cdef Moving *moving
    cdef nn_source *source
    for i in range(run.moving_count):
        moving = &run.moving[i]
        source = &run.sources[moving.array]
        if source.dtype == <nn_dtype> -1:
            bound[moving.instruction].instr.operand[moving.operand] = <char *> source.base + first * source.row_stride
        else:
            bound[moving.instruction].instr.operand[moving.operand] = source


cdef void run_short(Run *run) noexcept nogil:
    """All of a run that is over before it were worth a second thread, a clock or a look for Ctrl-C."""
    cdef nn_float_mode mode = nn_flush_denormals()
    cdef int i
    begin_run(run)
    while begin_batch(run):
        for i in range(run.count):
            if is_due(run, i):
                run.bound[i].kernel(&run.bound[i].instr, &run.now, 0, 1)
        run.at += 1
        run.done[0] = run.at
    nn_restore_denormals(mode)


cdef void run_batches(Run *run, int parts) noexcept nogil:
    """All batches of a run, by the caller and a team of ``parts`` threads in all."""
    run.caller = nn_flush_denormals()
    begin_run(run)
    while begin_batch(run):
        run_batch(run, parts)
        if not run.stop:
            end_batch(run)
    nn_restore_denormals(run.caller)


cdef void begin_run(Run *run) noexcept nogil:
    """Bind the instructions to the memories."""
    bind(run, run.full, min(run.batch, run.row_count))
    point(run, run.full, 0)


cdef bint begin_batch(Run *run) noexcept nogil:
    """Point the instructions and the step at the batch at hand; stop, and answer False, where there is none left."""
    cdef int64_t start = run.at * run.batch
    cdef int64_t size = min(run.batch, run.row_count - start)
    if run.at >= run.last or run.stop or (run.watched != NULL and run.watched[0] - run.watched[0] != 0):
        run.stop = True
        return False
    run.bound = run.full
    if size < run.batch and run.row_count > run.batch:
        run.bound = run.tail
        bind(run, run.tail, size)
        point(run, run.tail, start)
    elif run.by_batch and start > 0:
        point(run, run.full, start)
    run.now.first = start
    run.now.rows = run.now.next_rows = NULL
    run.now.ahead = 0
    if run.rows != NULL:
        if run.at == run.first:
            order_rows(run, run.at)
        run.now.rows = rows_at(run, run.at)
        if run.at + 1 < run.last:
            run.now.ahead = order_rows(run, run.at + 1)
            run.now.next_rows = rows_at(run, run.at + 1)
    run.now.number = run.step + run.at
    run.now.rates = run.rates + (run.at - run.first) * run.rates_stride if run.rates != NULL else NULL
    return True


cdef int64_t *rows_at(Run *run, int64_t at) noexcept nogil:
    """Where the rows of batch ``at`` are while it or the one before it is at hand."""
    return run.rows + (at & 1) * run.batch


cdef int64_t order_rows(Run *run, int64_t at) noexcept nogil:
    """Find the rows of batch ``at``; returns how many."""
    run.positions.first = at * run.batch
    run.order.operand[0] = rows_at(run, at)
    run.order.dim[0] = min(run.batch, run.row_count - run.positions.first)
    run.table.kernel[<int> NN_op_row_order](&run.order, &run.positions, 0, 1)
    return run.order.dim[0]


cdef inline bint is_due(Run *run, int i) noexcept nogil:
    """Whether instruction ``i`` runs at this step."""
    return run.bound[i].when < 0 or run.now.rates[run.bound[i].when] != 0


cdef void run_batch(Run *run, int parts) noexcept nogil:
    """All instructions of a batch, one after the other: the large ones on all threads."""
    cdef int i
    for i in range(run.count):
        if run.special and not is_due(run, i):
            continue
        if run.special and run.bound[i].kernel == NULL:
            call_python(run, i)
        elif parts > 1 and run.bound[i].cost >= SHARED_WORK:
            run.dealt = i
            nn_deal(run_dealt, run, parts)
        else:
            run_instruction(run, i, 0, 1, 0)
        if run.stop:
            return


cdef void run_dealt(void *context, int share, int shares, int thread) noexcept nogil:
    """A share of the instruction at work, on any thread."""
    cdef Run *run = <Run *> context
    cdef nn_float_mode mode = nn_flush_denormals()
    run_instruction(run, run.dealt, share, shares, thread)
    nn_restore_denormals(mode)


cdef void run_instruction(Run *run, int i, int share, int shares, int thread) noexcept nogil:
    """A share of an instruction: a long one in slices, between which the caller may come up for air."""
    cdef Bound *bound = &run.bound[i]
    cdef double cost
    cdef int s, slices
    cdef nn_instr instr
    if bound.cost < SLICE and share == thread:
        bound.kernel(&bound.instr, &run.now, share, shares)
        if thread == 0:
            count_work(run, i, bound.cost)
        return
    cost = bound.cost / shares
    slices = 1 + <int> (cost / SLICE)
    instr = bound.instr
    for s in range(share * slices, (share + 1) * slices):
        # A kernel finds its scratch by the number of the share, but all that a thread does uses the thread's.
        instr.scratch = <char *> (<uintptr_t> run.scratch + <uintptr_t> thread * NN_SCRATCH - <uintptr_t> s * NN_SCRATCH)
        bound.kernel(&instr, &run.now, s, shares * slices)
        if thread == 0:
            count_work(run, i, cost / slices)
        if run.stop:
            return


cdef void count_work(Run *run, int i, double cost) noexcept nogil:
    """After work on instruction ``i``: in long batches look for signals, as long as the batch may be broken off."""
    run.work += cost
    if run.work > HEAVY and i + 1 <= run.updates_from:
        run.work = 0
        if nn_seconds() - run.breath >= BREATH:
            breathe(run, False)


cdef void end_batch(Run *run) noexcept nogil:
    run.at += 1
    run.done[0] = run.at
    if run.work > LIGHT:
        run.work = 0
        if nn_seconds() - run.breath >= BREATH:
            breathe(run, True)


cdef void call_python(Run *run, int i) noexcept nogil:
    """Instruction ``i``, a call of Python; what is raised stops the run."""
    cdef nn_float_mode mode = nn_flush_denormals()
    nn_restore_denormals(run.caller)
    with gil:
        air = <Air> run.air
        try:
            air.call(i, run.at)
        except BaseException as error:
            air.error = error
            run.stop = True
    nn_restore_denormals(mode)


cdef void breathe(Run *run, bint report) noexcept nogil:
    """Look for signals and report progress; what is raised stops the run."""
    cdef nn_float_mode mode = nn_flush_denormals()
    nn_restore_denormals(run.caller)
    with gil:
        air = <Air> run.air
        try:
            PyErr_CheckSignals()
            if report and air.poll is not None:
                air.poll(run.at)
        except BaseException as error:
            air.error = error
            run.stop = True
    nn_restore_denormals(mode)
    run.breath = nn_seconds()


def set_num_threads(int threads):
    """Let a run use up to ``threads`` threads."""
    nn_set_limit(threads)


def get_num_threads():
    """The most threads that a run uses."""
    return nn_get_limit()


def set_own_threads(int threads):
    """Let runs of the calling thread use up to ``threads`` threads, 0: as many as all others; returns what it was."""
    global nn_own_limit
    before = nn_own_limit
    nn_own_limit = threads
    return before
