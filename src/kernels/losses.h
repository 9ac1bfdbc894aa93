/* What losses share: loops over rows of predictions p[m,n] and targets t[m,n], and how their values are weighed. The
   losses themselves are in regression.h, classification.h and overlap.h. Sums over a row: loops.h. */
#ifndef NNCORE_LOSSES_H
#define NNCORE_LOSSES_H

#include "loops.h"
#include "math.h"

#define EPSILON ((real)1e-7) /* how far probabilities are kept from 0 and 1 before a logarithm */

/* dp[m,n] = f(p, t) (factor dloss[m] / divisor); dp may be p. Where n is 1 the rows are one vector, and the divisor 1. */
#define ROW_GRAD(f, factor, divisor)                                                                                   \
    const int64_t n = instr->dim[1];                                                                                   \
    const row shape = row_of(n);                                                                                       \
    real *dp = instr->operand[0];                                                                                      \
    const real *p = instr->operand[1], *t = instr->operand[2], *dloss = instr->operand[3];                             \
    if (n == 1)                                                                                                        \
        EACH_VEC(instr->dim[0],                                                                                        \
                 STORE(dp, vec_mul(f(LOAD(p), LOAD(t)), vec_mul(vec_set1(factor), LOAD(dloss)))));                     \
    else                                                                                                               \
        EACH_ROW(instr->dim[0], {                                                                                      \
            const vec scale = vec_set1((factor) * dloss[r] / (divisor));                                               \
            EACH_IN_ROW(shape, STORE(dp + r * n, vec_mul(f(LOAD(p + r * n), LOAD(t + r * n)), scale)));                \
        })

/* dp[m,n] = f(p, t) (factor dloss[m] / n): the gradient of a ROW_MEAN */
#define ROW_MEAN_GRAD(f, factor) ROW_GRAD(f, factor, (real)n)

INLINE vec row_total(const row *shape, const real *p)
{
    vec sum[WIDE];
    wide_set(sum, vec_zero());
    EACH_IN_ROW(*shape, sum[w] = vec_add(sum[w], LOAD(p)));
    return vec_set1(wide_sum(sum));
}

/* x kept in [low, high]; NaN stays */
INLINE vec clip_to(vec x, vec low, vec high) { return vec_min(high, vec_max(low, x)); }

/* y where x > 0, else 0; NaN where x is */
INLINE vec where_positive(vec x, vec y)
{
    return vec_select(vec_lt(vec_zero(), x), y, vec_select(vec_le(x, vec_zero()), vec_zero(), x));
}

/* ---- Targets and labels. */

/* y[m] = 2 t - 1 where all of t is 0 or 1, else t; y may be t. Every share looks at all of t, before any writes: with
   more than one, y is not t. */
KERNEL(op_hinge_targets)
{
    real *y = instr->operand[0];
    const real *t = instr->operand[1];
    int binary = 1;
    for (int64_t i = 0; i < instr->dim[0] && binary; i++)
        binary = t[i] == 0 || t[i] == 1;
    const vec scale = vec_set1(binary ? 2 : 1), offset = vec_set1(binary ? -1 : 0);
    EACH_VEC(instr->dim[0], STORE(y, binary ? vec_add(vec_mul(LOAD(t), scale), offset) : LOAD(t)));
}

/* known[m] = 0 and mask[m] = 0 where the label is the one ignored, else the label and 1; known may be label */
KERNEL(op_known_labels)
{
    (void)step;
    int32_t *known = instr->operand[0];
    real *mask = instr->operand[1];
    const int32_t *label = instr->operand[2], ignored = (int32_t)instr->attribute[0];
    const nn_range share = nn_share(instr->dim[0], 1, part, parts);
    for (int64_t i = share.begin; i < share.end; i++) {
        mask[i] = label[i] != ignored;
        known[i] = label[i] == ignored ? 0 : label[i];
    }
}

/* ---- From one loss a row to one a batch. */

typedef enum { MEAN_OF_ROWS, SUM_OF_ROWS, WEIGHTED_MEAN_OF_ROWS } reduction;

/* y[m] = weight mask f: f is m for a sum, m / sum_m weight mask for a weighted mean, m / sum_m mask for a mean */
KERNEL(op_weigh_rows)
{
    const int64_t m = instr->dim[0];
    const reduction kind = (reduction)instr->attribute[0];
    real *y = instr->operand[0];
    const real *weight = instr->operand[1], *mask = instr->operand[2];
    double total = kind == SUM_OF_ROWS ? 1 : 0;
    for (int64_t i = 0; i < m && kind != SUM_OF_ROWS; i++) {
        const real kept = mask ? mask[i] : 1, share = weight ? weight[i] * kept : kept;
        total += kind == MEAN_OF_ROWS ? kept : share;
    }
    const vec factor = vec_set1(total != 0 ? (real)((double)m / total) : 0), one = vec_set1(1);
    EACH_VEC(m, {
        const vec kept = mask ? LOAD(mask) : one;
        STORE(y, vec_mul(weight ? vec_mul(LOAD(weight), kept) : kept, factor));
    });
}

/* dloss[m] = weight[m] / m, or 1 / m without weights */
KERNEL(op_loss_scale)
{
    const vec m = vec_set1((real)instr->dim[0]);
    real *dloss = instr->operand[0];
    const real *weight = instr->operand[1];
    EACH_VEC(instr->dim[0], STORE(dloss, vec_div(weight ? LOAD(weight) : vec_set1(1), m)));
}

/* y[m,n] = weight[m] */
KERNEL(op_spread)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *y = instr->operand[0];
    const real *weight = instr->operand[1];
    EACH_ROW(instr->dim[0], EACH_IN_ROW(shape, STORE(y + r * n, vec_set1(weight[r]))));
}

#endif
