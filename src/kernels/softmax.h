/* Softmax over the last axis, and the cross-entropies that are computed from logits. Sums over a row: see loops.h. */
#ifndef NNCORE_SOFTMAX_H
#define NNCORE_SOFTMAX_H

#include <math.h>

#include "loops.h"
#include "math.h"

typedef enum { NO_TARGET, DENSE_TARGET, LABEL_TARGET } target;

/* p[m,n] = softmax(z) of some rows, and loss[m] = log(total) weight - product where there are targets: t[m,n] or a label
   a row. total is sum exp(z - max z), weight is sum t and product is sum t (z - max z). p may be z. */
typedef struct {
    int64_t n;
    real *p, *loss;
    const real *z;
    const void *targets;
} softmax_task;

INLINE vec loss_of(vec total, vec weight, vec product) { return vec_sub(vec_mul(vec_log(total), weight), product); }

/* t (z - max z), 0 where t is 0 */
INLINE vec product_term(vec t, vec shifted)
{
    return vec_select(vec_eq(t, vec_zero()), vec_zero(), vec_mul(t, shifted));
}

/* ---- Rows of at most 16 elements: LANES rows side by side, a row in each lane of 16 columns. */

/* columns[j] lane r = from[r,j], r < rows, j < n; 0 elsewhere */
INLINE void load_columns(vec columns[16], const real *from, int rows, int n)
{
    for (int first = 0; first < 16; first += LANES) {
        const int left = n - first;
        const vec_mask mask = vec_mask_first(left < 0 ? 0 : left < LANES ? left : LANES);
        for (int r = 0; r < LANES; r++)
            columns[first + r] = r < rows && left > 0 ? vec_load_first(from + r * n + first, mask) : vec_zero();
        if (left > 0)
            vec_transpose(columns + first);
    }
}

/* The inverse; spoils the columns */
INLINE void store_columns(real *to, int rows, int n, vec columns[16])
{
    for (int first = 0; first < n; first += LANES) {
        const vec_mask mask = vec_mask_first(n - first < LANES ? n - first : LANES);
        vec_transpose(columns + first);
        for (int r = 0; r < rows; r++)
            vec_store_first(to + r * n + first, mask, columns[first + r]);
    }
}

/* The sum of 16 columns by the tree of wide_sum */
INLINE vec sum_columns(const vec columns[16])
{
    vec s[8];
    for (int j = 0; j < 8; j++)
        s[j] = vec_add(columns[j], columns[j + 8]);
    for (int half = 4; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            s[j] = vec_add(s[j], s[j + half]);
    return s[0];
}

INLINE void softmax_narrow(const target kind, const softmax_task *task, int64_t first, int rows)
{
    const int n = (int)task->n;
    vec e[16], t[16], top = vec_set1(-INFINITY), weight = vec_set1(1), product = vec_zero();
    load_columns(e, task->z + first * n, rows, n);
    for (int j = 0; j < n; j++)
        top = vec_max(top, e[j]);
    if (kind == LABEL_TARGET) {
        const int32_t *label = (const int32_t *)task->targets + first;
        real hit[LANES] = {0};
        for (int r = 0; r < rows; r++)
            hit[r] = task->z[(first + r) * n + label[r]];
        product = vec_sub(vec_load(hit), top);
    }
    for (int j = 0; j < n; j++)
        e[j] = vec_sub(e[j], top);
    if (kind == DENSE_TARGET) {
        load_columns(t, (const real *)task->targets + first * n, rows, n);
        weight = sum_columns(t);
        for (int j = 0; j < n; j++)
            t[j] = product_term(t[j], e[j]);
        product = sum_columns(t);
    }
    for (int j = 0; j < n; j++)
        e[j] = vec_exp(e[j]);
    const vec total = sum_columns(e);
    if (kind != NO_TARGET)
        vec_store_first(task->loss + first, vec_mask_first(rows), loss_of(total, weight, product));
    for (int j = 0; j < n; j++)
        e[j] = vec_div(e[j], total);
    store_columns(task->p + first * n, rows, n, e);
}

/* ---- Wider rows, one after the other. */

INLINE void softmax_wide(const target kind, const softmax_task *task, const row *shape, int64_t r)
{
    const real *z = task->z + r * task->n, *t = kind == DENSE_TARGET ? (const real *)task->targets + r * task->n : NULL;
    real *p = task->p + r * task->n;
    vec top[WIDE], sum[WIDE], weight[WIDE], product[WIDE];
    wide_set(top, vec_set1(-INFINITY));
    wide_set(sum, vec_zero());
    wide_set(weight, vec_zero());
    wide_set(product, vec_zero());
    EACH_IN_ROW(*shape, top[w] = vec_max(top[w], KEEP(LOAD(z), vec_set1(-INFINITY))));
    const vec max = vec_set1(wide_max(top));
    const real hit = kind == LABEL_TARGET ? z[((const int32_t *)task->targets)[r]] : 0;
    EACH_IN_ROW(*shape, {
        const vec shifted = vec_sub(LOAD(z), max), e = vec_exp(shifted);
        sum[w] = vec_add(sum[w], KEEP(e, vec_zero()));
        if (kind == DENSE_TARGET) {
            weight[w] = vec_add(weight[w], LOAD(t));
            product[w] = vec_add(product[w], product_term(LOAD(t), shifted));
        }
        STORE(p, e);
    });
    const vec total = vec_set1(wide_sum(sum));
    EACH_IN_ROW(*shape, STORE(p, vec_div(LOAD(p), total)));
    if (kind == DENSE_TARGET)
        task->loss[r] = vec_first(loss_of(total, vec_set1(wide_sum(weight)), vec_set1(wide_sum(product))));
    if (kind == LABEL_TARGET)
        task->loss[r] = vec_first(loss_of(total, vec_set1(1), vec_sub(vec_set1(hit), max)));
}

INLINE void softmax_share(const target kind, softmax_task task, nn_range rows)
{
    const row shape = row_of(task.n);
    if (task.n <= 16)
        for (int64_t r = rows.begin; r < rows.end; r += LANES)
            softmax_narrow(kind, &task, r, (int)(rows.end - r < LANES ? rows.end - r : LANES));
    else
        for (int64_t r = rows.begin; r < rows.end; r++)
            softmax_wide(kind, &task, &shape, r);
}

/* p[m,n] = exp(z - max z) / sum exp(z - max z); p may be z */
KERNEL(op_softmax)
{
    (void)step;
    const softmax_task task = {.n = instr->dim[1], .p = instr->operand[0], .z = instr->operand[1]};
    softmax_share(NO_TARGET, task, nn_share(instr->dim[0], 1, part, parts));
}

INLINE softmax_task loss_task(const nn_instr *instr)
{
    void *const *operand = instr->operand;
    return (softmax_task){
        .n = instr->dim[1], .p = operand[0], .loss = operand[1], .z = operand[2], .targets = operand[3]};
}

/* p[m,n] = softmax(z), loss[m] = log(sum exp(z - max z)) sum_n t - sum_n t (z - max z); p may be z */
KERNEL(op_softmax_cross_entropy)
{
    (void)step;
    softmax_share(DENSE_TARGET, loss_task(instr), nn_share(instr->dim[0], 1, part, parts));
}

/* p[m,n] = softmax(z), loss[m] = log(sum exp(z - max z)) - (z - max z)[label[m]]; p may be z */
KERNEL(op_sparse_softmax_cross_entropy)
{
    (void)step;
    softmax_share(LABEL_TARGET, loss_task(instr), nn_share(instr->dim[0], 1, part, parts));
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
