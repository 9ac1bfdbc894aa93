/* What the executor and every kernel agree on: an instruction, a step, a source of rows, and the table of one ISA. */
#ifndef NNCORE_H
#define NNCORE_H

#include <stddef.h>
#include <stdint.h>

typedef float real; /* the float type of the kernels; the file compiles for double as well */

enum {
    NN_OPERANDS = 10,
    NN_DIMS = 4,
    NN_ATTRIBUTES = 6,
    NN_SCRATCH = 512 * 1024 /* bytes of scratch for each part, one after the other at instr->scratch, 64-byte aligned */
};

/* One op bound to memory. Operands are the outputs, then the inputs, of the op's signature; an absent one is NULL.
   Dims are the letters of the signature by first appearance, inputs first. Attributes are in the op's own order. */
typedef struct {
    void *operand[NN_OPERANDS];
    int64_t dim[NN_DIMS];
    double attribute[NN_ATTRIBUTES];
    char *scratch;
} nn_instr;

/* What changes from batch to batch. */
typedef struct {
    const int64_t *rows; /* indices of this batch's source rows, or NULL: consecutive from `first` */
    int64_t first;
    const int64_t *next_rows; /* those of the next batch, `ahead` of them, where there is one and it has any */
    int64_t ahead;
    uint64_t number; /* the training step: the counter of random ops */
    uint64_t seed;   /* the key of random ops */
    const double *rates;
} nn_step;

/* The dtypes that gather reads. */
typedef enum {
    NN_F32, NN_F64, NN_U8, NN_I8, NN_U16, NN_I16, NN_U32, NN_I32, NN_U64, NN_I64, NN_BOOL
} nn_dtype;

/* The operand of kind "any" of gather: rows of an array of the caller, element [r,c] at base + r row_stride + c
   column_stride bytes. */
typedef struct {
    const char *base;
    int64_t row_stride, column_stride;
    nn_dtype dtype;
    int64_t size; /* bytes from the first row to the end of the last */
} nn_source;

/* Computes share `part` of `parts` of the outputs; any number of parts gives the same bits. */
typedef void (*nn_kernel)(const nn_instr *instr, const nn_step *step, int part, int parts);

/* A half-open range of indices. */
typedef struct { int64_t begin, end; } nn_range;

/* Share `part` of `parts` of 0 … total - 1, cut at multiples of `grain`; shares differ by one grain at most. */
static inline nn_range nn_share(int64_t total, int64_t grain, int part, int parts)
{
    int64_t grains = (total + grain - 1) / grain;
    int64_t begin = grains * part / parts * grain, end = grains * (part + 1) / parts * grain;
    return (nn_range){begin, end < total ? end : total};
}

/* The NN_SCRATCH bytes that belong to `part`. */
static inline char *nn_scratch(const nn_instr *instr, int part) { return instr->scratch + (size_t)part * NN_SCRATCH; }

typedef enum {
#define OP(name) NN_##name,
#include "ops.def"
#undef OP
    NN_OPS
} nn_op;

/* One instruction set: its name, the reals in a vector, all kernels, and the probes of src/probe.h. */
typedef struct {
    const char *isa;
    int lanes;
    nn_kernel kernel[NN_OPS];
    int64_t (*fma_probe)(int64_t rounds, real *sink);
    int64_t (*read_probe)(const real *from, int64_t count, real *sink);
} nn_table;

/* One in each file of src/isa. */
enum { NN_ISAS = 4 };
extern const nn_table nn_table_baseline, nn_table_avx2, nn_table_avx512, nn_table_neon;

#endif
