/* Losses of how much p and t overlap: 1 - scale I / D, D = truth T + guess P + both I + EPSILON, of the sums I of t p, T of
   t and P of p, over a row of [m,n] or over all rows as one. */
#ifndef NNCORE_OVERLAP_H
#define NNCORE_OVERLAP_H

#include "losses.h"

/* The attributes of an overlap, and scale I / D and D of a row. */
typedef struct {
    real scale, truth, guess, both, quotient, divisor;
} overlap;

INLINE overlap overlap_of(const nn_instr *instr, const row *shape, const real *p, const real *t)
{
    vec common[WIDE];
    wide_set(common, vec_zero());
    EACH_IN_ROW(*shape, common[w] = vec_add(common[w], vec_mul(LOAD(t), LOAD(p))));
    const real shared = wide_sum(common);
    overlap o = {.scale = (real)instr->attribute[0], .truth = (real)instr->attribute[1],
                 .guess = (real)instr->attribute[2], .both = (real)instr->attribute[3]};
    const real apart = o.truth * vec_first(row_total(shape, t)) + o.guess * vec_first(row_total(shape, p));
    o.divisor = apart + o.both * shared + EPSILON;
    o.quotient = o.scale * shared / o.divisor;
    return o;
}

/* ((guess + both t) scale I / D - scale t) / D */
INLINE vec overlap_slope(const overlap *o, vec t)
{
    const vec more = vec_mul(vec_add(vec_set1(o->guess), vec_mul(vec_set1(o->both), t)), vec_set1(o->quotient));
    return vec_div(vec_sub(more, vec_mul(vec_set1(o->scale), t)), vec_set1(o->divisor));
}

/* loss[m] = 1 - scale I / D */
KERNEL(op_overlap)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *loss = instr->operand[0];
    const real *p = instr->operand[1], *t = instr->operand[2];
    EACH_ROW(instr->dim[0], loss[r] = 1 - overlap_of(instr, &shape, p + r * n, t + r * n).quotient);
}

/* dp[m,n] = overlap_slope dloss[m]; dp may be p */
KERNEL(op_overlap_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec dloss = vec_set1(((const real *)instr->operand[3])[r]);
        const overlap o = overlap_of(instr, &shape, p, t);
        EACH_IN_ROW(shape, STORE(dp, vec_mul(overlap_slope(&o, LOAD(t)), dloss)));
    });
}

/* loss[m] = 1 - scale I / D of all rows as one; every share sums all of them */
KERNEL(op_batch_overlap)
{
    const row all = row_of(instr->dim[0] * instr->dim[1]);
    real *loss = instr->operand[0];
    const real value = 1 - overlap_of(instr, &all, instr->operand[1], instr->operand[2]).quotient;
    EACH_VEC(instr->dim[0], STORE(loss, vec_set1(value)));
}

/* dp[m,n] = overlap_slope sum_m dloss of all rows as one */
KERNEL(op_batch_overlap_grad)
{
    const int64_t m = instr->dim[0], n = instr->dim[1];
    const row all = row_of(m * n);
    real *dp = instr->operand[0];
    const real *t = instr->operand[2], *dloss = instr->operand[3];
    const overlap o = overlap_of(instr, &all, instr->operand[1], t);
    double sum = 0;
    for (int64_t r = 0; r < m; r++)
        sum += dloss[r];
    const vec total = vec_set1((real)sum);
    EACH_VEC(m * n, STORE(dp, vec_mul(overlap_slope(&o, LOAD(t)), total)));
}

#endif
