/* What the executor and every kernel agree on: an instruction, a step, a source of rows, and the table of one ISA. */
#ifndef NNCORE_H
#define NNCORE_H

#include <stddef.h>
#include <stdint.h>

typedef float real; /* the float type of the kernels; the file compiles for double as well */

enum {
    NN_OPERANDS = 8,
    NN_DIMS = 4,
    NN_ATTRIBUTES = 4,
    NN_SCRATCH = 512 * 1024 /* bytes of scratch that a kernel finds at instr->scratch, for each part */
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
} nn_source;

/* Computes share `part` of `parts` of the outputs; any number of parts gives the same bits. */
typedef void (*nn_kernel)(const nn_instr *instr, const nn_step *step, int part, int parts);

typedef enum {
#define OP(name) NN_##name,
#include "ops.def"
#undef OP
    NN_OPS
} nn_op;

/* One instruction set: its name, the reals in a vector, and all kernels. */
typedef struct {
    const char *isa;
    int lanes;
    nn_kernel kernel[NN_OPS];
} nn_table;

#endif
