/* Maps of m elements. The output may be any one of the inputs. */
#ifndef NNCORE_ELEMENTWISE_H
#define NNCORE_ELEMENTWISE_H

#include "loops.h"
#include "math.h"

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

KERNEL(op_relu) { UNARY(vec_relu); }
KERNEL(op_tanh) { UNARY(vec_tanh); }
KERNEL(op_sigmoid) { UNARY(vec_sigmoid); }

/* dx = op_grad(dy, y) */
KERNEL(op_relu_grad) { BINARY(vec_relu_grad); }
KERNEL(op_tanh_grad) { BINARY(vec_tanh_grad); }
KERNEL(op_sigmoid_grad) { BINARY(vec_sigmoid_grad); }

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

/* The attributes of general_relu: the slope below the threshold, the ceiling, the threshold. */
typedef struct {
    vec slope, ceiling, threshold;
    vec_cond flat; /* where the slope is 0: there 0 also for -inf */
} bent_line;

INLINE bent_line bent_line_of(const nn_instr *instr)
{
    const vec slope = vec_set1((real)instr->attribute[0]);
    return (bent_line){.slope = slope, .ceiling = vec_set1((real)instr->attribute[1]),
                       .threshold = vec_set1((real)instr->attribute[2]), .flat = vec_eq(slope, vec_zero())};
}

/* y = min(x, ceiling) where x > threshold, else slope (x - threshold) */
KERNEL(op_general_relu)
{
    const bent_line line = bent_line_of(instr);
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_VEC(instr->dim[0], {
        const vec v = LOAD(x), slanted = vec_mul(line.slope, vec_sub(v, line.threshold));
        const vec below = vec_select(line.flat, vec_zero(), slanted), above = vec_min(line.ceiling, v);
        STORE(y, vec_select(vec_le(v, line.threshold), below, above));
    });
}

/* dx = dy where threshold < x < ceiling, slope dy where x <= threshold, else 0 */
KERNEL(op_general_relu_grad)
{
    const bent_line line = bent_line_of(instr);
    real *dx = instr->operand[0];
    const real *dy = instr->operand[1], *x = instr->operand[2];
    EACH_VEC(instr->dim[0], {
        const vec v = LOAD(x), above = vec_select(vec_lt(v, line.ceiling), vec_set1(1), vec_zero());
        STORE(dx, vec_mul(LOAD(dy), vec_select(vec_lt(line.threshold, v), above, line.slope)));
    });
}

#endif
