/* Matches a row, and the sum over a batch that is added to a running float64 total. */
#ifndef NNCORE_METRICS_H
#define NNCORE_METRICS_H

#include <math.h>

#include "loops.h"

/* total += sum_m value[m] weight[m], in order, each product rounded to real. Share 0 does all of it. */
KERNEL(op_add_rows)
{
    (void)step, (void)parts;
    if (part > 0)
        return;
    double *total = instr->operand[0], sum = 0;
    const real *value = instr->operand[1], *weight = instr->operand[2];
    for (int64_t i = 0; i < instr->dim[0]; i++) {
        const real product = weight ? value[i] * weight[i] : value[i];
        sum += product;
    }
    *total += sum;
}

/* match[m] = mean_n ((p > threshold) == t) */
KERNEL(op_binary_matches)
{
    const vec threshold = vec_set1((real)instr->attribute[0]), one = vec_set1(1), none = vec_zero();
#define MATCH(p, t) vec_select(vec_eq(vec_select(vec_lt(threshold, p), one, none), t), one, none)
    ROW_MEAN(MATCH);
#undef MATCH
}

/* The index of the largest of n elements: the first of equals, and NaN is the largest */
INLINE int64_t argmax(const row *shape, const real *p)
{
    vec top[WIDE];
    wide_set(top, vec_set1(-INFINITY));
    EACH_IN_ROW(*shape, {
        const vec v = LOAD(p);
        const int nan = vec_find(vec_not(vec_eq(v, v)));
        if (nan < LANES)
            return i + nan;
        top[w] = vec_max(top[w], KEEP(v, vec_set1(-INFINITY)));
    });
    const vec max = vec_set1(wide_max(top));
    EACH_IN_ROW(*shape, {
        const int lane = vec_find(vec_eq(KEEP(LOAD(p), vec_set1(-INFINITY)), max));
        if (lane < LANES)
            return i + lane;
    });
    return 0;
}

/* match[m] = 1 where argmax p == argmax t, else 0 */
KERNEL(op_categorical_matches)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *match = instr->operand[0];
    const real *p = instr->operand[1], *t = instr->operand[2];
    EACH_ROW(instr->dim[0], match[r] = argmax(&shape, p + r * n) == argmax(&shape, t + r * n));
}

/* match[m] = 1 where argmax p == label, else 0 */
KERNEL(op_sparse_matches)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *match = instr->operand[0];
    const real *p = instr->operand[1];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], match[r] = argmax(&shape, p + r * n) == label[r]);
}

#endif
