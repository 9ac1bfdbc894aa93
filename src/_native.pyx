# cython: freethreading_compatible=True, cdivision=True
"""The compiled half of nncore: the kernel tables, the one chosen for this machine, and what runs them.

One module, in a file for each reason to change: which table (dispatch), one kernel on arrays of Python (kernels), a
whole epoch of a program (executor).
"""

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int64_t, uint64_t

cdef extern from "nncore.h" nogil:
    ctypedef float real
    ctypedef enum nn_op:
        NN_op_row_order
        NN_OPS
    enum:
        NN_OPERANDS
        NN_DIMS
        NN_ATTRIBUTES
        NN_SCRATCH
    ctypedef struct nn_instr:
        void *operand[10]
        int64_t dim[4]
        double attribute[6]
        char *scratch
    ctypedef struct nn_step:
        const int64_t *rows
        int64_t first
        const int64_t *next_rows
        int64_t ahead
        uint64_t number
        uint64_t seed
        const double *rates
    ctypedef enum nn_dtype:
        NN_F32, NN_F64, NN_U8, NN_I8, NN_U16, NN_I16, NN_U32, NN_I32, NN_U64, NN_I64, NN_BOOL
    ctypedef struct nn_source:
        const char *base
        int64_t row_stride
        int64_t column_stride
        nn_dtype dtype
        int64_t size
    ctypedef void (*nn_kernel)(const nn_instr *, const nn_step *, int part, int parts) noexcept nogil
    ctypedef struct nn_table:
        const char *isa
        int lanes
        const nn_kernel *kernel
        int64_t (*fma_probe)(int64_t rounds, real *sink) noexcept nogil
        int64_t (*read_probe)(const real *start, int64_t count, real *sink) noexcept nogil

cdef extern from "denormals.h" nogil:
    ctypedef uint64_t nn_float_mode
    nn_float_mode nn_flush_denormals()
    void nn_restore_denormals(nn_float_mode mode)

include "dispatch.pxi"
include "executor.pxi"
include "kernels.pxi"
