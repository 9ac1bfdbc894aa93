/* Arithmetic of m elements. The output may be any one of the inputs. */
#ifndef NNCORE_ELEMENTWISE_H
#define NNCORE_ELEMENTWISE_H

#include "loops.h"

/* y[m] = f(x[m]) */
#define UNARY(f)                                                                                                       \
    real *y = instr->operand[0];                                                                                       \
    const real *x = instr->operand[1];                                                                                 \
    EACH_VEC(instr->dim[0], STORE(y, f(LOAD(x))))

/* y[m] = f(a[m], b[m]) */
#define BINARY(f)                                                                                                      \
    real *y = instr->operand[0];                                                                                       \
    const real *a = instr->operand[1], *b = instr->operand[2];                                                         \
    EACH_VEC(instr->dim[0], STORE(y, f(LOAD(a), LOAD(b))))

KERNEL(op_add) { BINARY(vec_add); }
KERNEL(op_multiply) { BINARY(vec_mul); }

/* y = x scale + offset, rounded twice as in NumPy */
KERNEL(op_scale_shift)
{
    const vec scale = vec_set1((real)instr->attribute[0]), offset = vec_set1((real)instr->attribute[1]);
#define SCALE_SHIFT(x) vec_add(vec_mul(x, scale), offset)
    UNARY(SCALE_SHIFT);
#undef SCALE_SHIFT
}

#endif
