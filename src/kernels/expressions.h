/* What users' own formulas are made of. The outputs of elementwise kernels may be any one of the inputs. */
#ifndef NNCORE_EXPRESSIONS_H
#define NNCORE_EXPRESSIONS_H

#include "elementwise.h"

KERNEL(op_subtract) { BINARY(vec_sub); }
KERNEL(op_divide) { BINARY(vec_div); }

/* vec_max and vec_min give their second argument where either is NaN. */
INLINE vec larger(vec a, vec b) { return vec_select(vec_eq(a, a), vec_max(a, b), a); }
INLINE vec smaller(vec a, vec b) { return vec_select(vec_eq(a, a), vec_min(a, b), a); }

/* y = numerator / x */
KERNEL(op_quotient_of)
{
    const vec numerator = vec_set1((real)instr->attribute[0]);
#define QUOTIENT(x) vec_div(numerator, x)
    UNARY(QUOTIENT);
#undef QUOTIENT
}

/* y = min(max(x, low), high) */
KERNEL(op_clip)
{
    const vec low = vec_set1((real)instr->attribute[0]), high = vec_set1((real)instr->attribute[1]);
#define CLIP(x) vec_min(high, vec_max(low, x))
    UNARY(CLIP);
#undef CLIP
}

/* dx = dy where low <= x <= high, else 0 */
KERNEL(op_clip_grad)
{
    const vec low = vec_set1((real)instr->attribute[0]), high = vec_set1((real)instr->attribute[1]);
#define INSIDE(dy, x) vec_select(vec_and_cond(vec_le(low, x), vec_le(x, high)), dy, vec_zero())
    BINARY(INSIDE);
#undef INSIDE
}

KERNEL(op_maximum) { BINARY(larger); }
KERNEL(op_minimum) { BINARY(smaller); }

/* y = d where a > b, or a = b and or_equal; else 0 */
KERNEL(op_where_larger)
{
    const int or_equal = instr->attribute[0] != 0;
    real *y = instr->operand[0];
    const real *d = instr->operand[1], *a = instr->operand[2], *b = instr->operand[3];
    EACH_VEC(instr->dim[0], {
        const vec_cond c = or_equal ? vec_le(LOAD(b), LOAD(a)) : vec_lt(LOAD(b), LOAD(a));
        STORE(y, vec_select(c, LOAD(d), vec_zero()));
    });
}

KERNEL(op_sqrt) { UNARY(vec_sqrt); }
KERNEL(op_log) { UNARY(vec_log); }
KERNEL(op_absolute) { UNARY(vec_abs); }

/* dx = dy sign(x), with sign(0) = 0 */
KERNEL(op_absolute_grad)
{
    const vec zero = vec_zero(), one = vec_set1(1);
    real *dx = instr->operand[0];
    const real *dy = instr->operand[1], *x = instr->operand[2];
    EACH_VEC(instr->dim[0], {
        const vec v = LOAD(x), sign = vec_select(vec_eq(v, v), vec_copysign(one, v), v);
        STORE(dx, vec_mul(LOAD(dy), vec_select(vec_eq(v, zero), zero, sign)));
    });
}

/* y[m,n] = f(x[m,n], b[n]) */
#define WITH_ROW(f)                                                                                                    \
    const int64_t n = instr->dim[1];                                                                                   \
    const row shape = row_of(n);                                                                                       \
    real *y = instr->operand[0];                                                                                       \
    const real *x = instr->operand[1], *b = instr->operand[2];                                                         \
    EACH_ROW(instr->dim[0], EACH_IN_ROW(shape, STORE(y + r * n, f(LOAD(x + r * n), LOAD(b)))))

KERNEL(op_row_add) { WITH_ROW(vec_add); }
KERNEL(op_row_multiply) { WITH_ROW(vec_mul); }

/* y[m] = sum_n x[m,n] */
KERNEL(op_row_sum)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0], {
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], LOAD(x + r * n)));
        y[r] = wide_sum(sum);
    });
}

#endif
