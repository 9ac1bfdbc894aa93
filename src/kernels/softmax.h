/* Softmax over the last axis, and the cross-entropies that are computed from logits. Sums over a row: see loops.h. */
#ifndef NNCORE_SOFTMAX_H
#define NNCORE_SOFTMAX_H

#include <math.h>

#include "loops.h"
#include "math.h"

typedef enum { NO_TARGET, DENSE_TARGET, LABEL_TARGET } target;

/* What the loss of a row is made of: sum exp(z - max z), sum t and sum t (z - max z). */
typedef struct {
    real total, weight, product;
} row_sums;

/* p = softmax(z) of one row, and its sums against the targets t (DENSE_TARGET); p may be z. A narrow row, of at most
   16 elements, stays in registers. */
INLINE row_sums softmax_row(const int narrow, const target kind, const row *shape, real *p, const real *z,
                            const real *t, int32_t label)
{
    vec held[WIDE], top[WIDE], sum[WIDE], weight[WIDE], product[WIDE];
    row_sums sums = {.weight = 1};
    wide_set(held, vec_zero());
    wide_set(top, vec_set1(-INFINITY));
    wide_set(sum, vec_zero());
    wide_set(weight, vec_zero());
    wide_set(product, vec_zero());
    EACH_IN_ROW(*shape, {
        held[w] = LOAD(z);
        top[w] = vec_max(top[w], KEEP(held[w], vec_set1(-INFINITY)));
    });
    const real highest = wide_max(top);
    const vec max = vec_set1(highest);
    if (kind == LABEL_TARGET)
        sums.product = z[label] - highest;
    EACH_IN_ROW(*shape, {
        const vec shifted = vec_sub(narrow ? held[w] : LOAD(z), max), e = vec_exp(shifted);
        sum[w] = vec_add(sum[w], KEEP(e, vec_zero()));
        if (kind == DENSE_TARGET) {
            const vec v = LOAD(t), term = vec_mul(v, shifted);
            weight[w] = vec_add(weight[w], v);
            product[w] = vec_add(product[w], vec_select(vec_eq(v, vec_zero()), vec_zero(), term));
        }
        held[w] = e;
        if (!narrow)
            STORE(p, e);
    });
    sums.total = wide_sum(sum);
    if (kind == DENSE_TARGET) {
        sums.weight = wide_sum(weight);
        sums.product = wide_sum(product);
    }
    const vec total = vec_set1(sums.total);
    EACH_IN_ROW(*shape, STORE(p, vec_div(narrow ? held[w] : LOAD(p), total)));
    return sums;
}

/* p[m,n] = softmax(z), and loss[m] = weight log(total) - product, LANES rows at a time */
INLINE void softmax_rows(const int narrow, const target kind, const nn_range rows, int64_t n, real *p, real *loss,
                         const real *z, const void *targets)
{
    const row shape = row_of(n);
    for (int64_t first = rows.begin; first < rows.end; first += LANES) {
        const int count = (int)(rows.end - first < LANES ? rows.end - first : LANES);
        real total[LANES] = {0}, weight[LANES] = {0}, product[LANES] = {0};
        for (int k = 0; k < count; k++) {
            const int64_t r = first + k;
            const real *t = kind == DENSE_TARGET ? (const real *)targets + r * n : NULL;
            const int32_t label = kind == LABEL_TARGET ? ((const int32_t *)targets)[r] : 0;
            const row_sums sums = softmax_row(narrow, kind, &shape, p + r * n, z + r * n, t, label);
            total[k] = sums.total;
            weight[k] = sums.weight;
            product[k] = sums.product;
        }
        if (kind != NO_TARGET) {
            const vec scaled = vec_mul(vec_load(weight), vec_log(vec_load(total)));
            vec_store_first(loss + first, vec_mask_first(count), vec_sub(scaled, vec_load(product)));
        }
    }
}

/* p[m,n] = exp(z - max z) / sum exp(z - max z); p may be z */
KERNEL(op_softmax)
{
    (void)step;
    const int64_t n = instr->dim[1];
    const nn_range rows = nn_share(instr->dim[0], 1, part, parts);
    if (n <= 16)
        softmax_rows(1, NO_TARGET, rows, n, instr->operand[0], NULL, instr->operand[1], NULL);
    else
        softmax_rows(0, NO_TARGET, rows, n, instr->operand[0], NULL, instr->operand[1], NULL);
}

/* p[m,n] = softmax(z), loss[m] = sum_n t log sum exp(z - max z) - sum_n t (z - max z); p may be z */
KERNEL(op_softmax_cross_entropy)
{
    (void)step;
    const int64_t n = instr->dim[1];
    const nn_range rows = nn_share(instr->dim[0], 1, part, parts);
    void *const *operand = instr->operand;
    if (n <= 16)
        softmax_rows(1, DENSE_TARGET, rows, n, operand[0], operand[1], operand[2], operand[3]);
    else
        softmax_rows(0, DENSE_TARGET, rows, n, operand[0], operand[1], operand[2], operand[3]);
}

/* p[m,n] = softmax(z), loss[m] = log sum exp(z - max z) - (z - max z)[label[m]]; p may be z */
KERNEL(op_sparse_softmax_cross_entropy)
{
    (void)step;
    const int64_t n = instr->dim[1];
    const nn_range rows = nn_share(instr->dim[0], 1, part, parts);
    void *const *operand = instr->operand;
    if (n <= 16)
        softmax_rows(1, LABEL_TARGET, rows, n, operand[0], operand[1], operand[2], operand[3]);
    else
        softmax_rows(0, LABEL_TARGET, rows, n, operand[0], operand[1], operand[2], operand[3]);
}

/* dz[m,n] = p (dp - sum_n dp p); dz may be dp or p */
KERNEL(op_softmax_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dz = (real *)instr->operand[0] + r * n;
        const real *dp = (const real *)instr->operand[1] + r * n, *p = (const real *)instr->operand[2] + r * n;
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], vec_mul(LOAD(dp), LOAD(p))));
        const vec total = vec_set1(wide_sum(sum));
        EACH_IN_ROW(shape, STORE(dz, vec_mul(LOAD(p), vec_sub(LOAD(dp), total))));
    });
}

/* dz[m,n] = (p sum_n t - t) dloss[m]; dz may be p */
KERNEL(op_softmax_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dz = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec dloss = vec_set1(((const real *)instr->operand[3])[r]);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], LOAD(t)));
        const vec total = vec_set1(wide_sum(sum));
        EACH_IN_ROW(shape, STORE(dz, vec_mul(vec_sub(vec_mul(LOAD(p), total), LOAD(t)), dloss)));
    });
}

/* dz[m,n] = (p - onehot(label)) dloss[m]; dz may be p */
KERNEL(op_sparse_softmax_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dz = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n;
        const int32_t label = ((const int32_t *)instr->operand[2])[r];
        const real dloss = ((const real *)instr->operand[3])[r], hit = (p[label] - 1) * dloss;
        EACH_IN_ROW(shape, STORE(dz, vec_mul(LOAD(p), vec_set1(dloss))));
        dz[label] = hit;
    });
}

#endif
