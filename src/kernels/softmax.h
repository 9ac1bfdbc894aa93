/* Softmax over the last axis, and the cross-entropies that are computed from logits. Sums over a row: see loops.h. */
#ifndef NNCORE_SOFTMAX_H
#define NNCORE_SOFTMAX_H

#include <math.h>

#include "loops.h"
#include "math.h"
#include "metrics.h"

typedef enum { NO_TARGET, DENSE_TARGET, LABEL_TARGET } target;

/* p[m,n] = softmax(z) of some rows, and loss[m] = log(total) weight - product where there are targets: t[m,n] or a label
   a row. total is sum exp(z - max z), weight is sum t and product is sum t (z - max z). p may be z.

   In training, p is replaced by the gradient of the loss in z, given the weight of each row, and match[m] is 1 where the
   largest p stands where the target is. */
typedef struct {
    int64_t n;
    real *p, *loss;
    const real *z;
    const void *targets;
    real *match;         /* NULL: not wanted */
    const real *weights; /* NULL: 1 */
    real count;          /* rows in the batch, as a real */
} softmax_task;

INLINE vec loss_of(vec total, vec weight, vec product) { return vec_sub(vec_mul(vec_log(total), weight), product); }

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

/* The index of the largest of n columns: the first of equals, and NaN is the largest */
INLINE vec argmax_columns(const vec columns[16], int n)
{
    vec top = columns[0], index = vec_zero();
    vec_cond ordered = vec_eq(top, top);
    for (int j = 1; j < n; j++) {
        top = vec_max(columns[j], top);
        ordered = vec_and_cond(ordered, vec_eq(columns[j], columns[j]));
    }
    for (int j = n - 1; j >= 0; j--)
        index = vec_select(vec_eq(columns[j], top), vec_set1((real)j), index);
    if (vec_find(vec_not(ordered)) < LANES)
        for (int j = n - 1; j >= 0; j--)
            index = vec_select(vec_eq(columns[j], columns[j]), index, vec_set1((real)j));
    return index;
}

/* weight[m] / m of `rows` rows from row `first` on: the gradient of the batch's loss in each row's, as op_loss_scale's */
INLINE vec loss_scale_of(const softmax_task *task, int64_t first, int rows)
{
    const vec weight = task->weights ? vec_load_first(task->weights + first, vec_mask_first(rows)) : vec_set1(1);
    return vec_div(weight, vec_set1(task->count));
}

INLINE void softmax_narrow(const target kind, const int trains, const softmax_task *task, int64_t first, int rows)
{
    const int n = (int)task->n;
    const vec_mask mask = vec_mask_first(rows);
    const vec one = vec_set1(1);
    vec e[16], t[16], terms[16], top = vec_set1(-INFINITY), weight = one, product = vec_zero(), label = vec_zero();
    load_columns(e, task->z + first * n, rows, n);
    for (int j = 0; j < n; j++)
        top = vec_max(top, e[j]);
    if (kind == LABEL_TARGET) {
        const int32_t *labels = (const int32_t *)task->targets + first;
        real hit[LANES] = {0}, number[LANES] = {0};
        for (int r = 0; r < rows; r++) {
            hit[r] = task->z[(first + r) * n + labels[r]];
            number[r] = (real)labels[r];
        }
        product = vec_sub(vec_load(hit), top);
        label = vec_load(number);
    }
    for (int j = 0; j < n; j++)
        e[j] = vec_sub(e[j], top);
    if (kind == DENSE_TARGET) {
        load_columns(t, (const real *)task->targets + first * n, rows, n);
        weight = sum_columns(t);
        for (int j = 0; j < 16; j++)
            terms[j] = j < n ? vec_weigh(t[j], e[j]) : vec_zero();
        product = sum_columns(terms);
    }
    for (int j = 0; j < n; j++)
        e[j] = vec_exp(e[j]);
    const vec total = sum_columns(e);
    if (kind != NO_TARGET)
        vec_store_first(task->loss + first, mask, loss_of(total, weight, product));
    for (int j = 0; j < n; j++)
        e[j] = vec_div(e[j], total);
    if (trains) {
        const vec scale = loss_scale_of(task, first, rows);
        if (task->match) {
            const vec_cond match = vec_eq(argmax_columns(e, n), kind == LABEL_TARGET ? label : argmax_columns(t, n));
            vec_store_first(task->match + first, mask, vec_select(match, one, vec_zero()));
        }
        for (int j = 0; j < n; j++) {
            const vec hit = kind == LABEL_TARGET ? vec_select(vec_eq(label, vec_set1((real)j)), one, vec_zero()) : t[j];
            e[j] = vec_mul(vec_sub(kind == LABEL_TARGET ? e[j] : vec_mul(e[j], weight), hit), scale);
        }
    }
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
            product[w] = vec_add(product[w], vec_weigh(LOAD(t), shifted));
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

/* dz = (p sum t - t) dloss of a row of targets; dz may be p */
INLINE void gradient_of_row(real *dz, const real *p, const real *t, real dloss, const row *shape)
{
    vec sum[WIDE];
    wide_set(sum, vec_zero());
    EACH_IN_ROW(*shape, sum[w] = vec_add(sum[w], LOAD(t)));
    const vec total = vec_set1(wide_sum(sum)), scale = vec_set1(dloss);
    EACH_IN_ROW(*shape, STORE(dz, vec_mul(vec_sub(vec_mul(LOAD(p), total), LOAD(t)), scale)));
}

/* dz = (p - onehot(label)) dloss of a row with a label; dz may be p */
INLINE void gradient_of_label(real *dz, const real *p, int32_t label, real dloss, const row *shape)
{
    const real hit = (p[label] - 1) * dloss;
    EACH_IN_ROW(*shape, STORE(dz, vec_mul(LOAD(p), vec_set1(dloss))));
    dz[label] = hit;
}

/* What training wants of a row whose p is there: p becomes the gradient. */
INLINE void train_wide(const target kind, const softmax_task *task, const row *shape, int64_t r)
{
    real *p = task->p + r * task->n;
    const real dloss = vec_first(loss_scale_of(task, r, 1));
    if (kind == LABEL_TARGET) {
        const int32_t label = ((const int32_t *)task->targets)[r];
        if (task->match)
            task->match[r] = argmax(shape, p) == label;
        gradient_of_label(p, p, label, dloss, shape);
    } else {
        const real *t = (const real *)task->targets + r * task->n;
        if (task->match)
            task->match[r] = argmax(shape, p) == argmax(shape, t);
        gradient_of_row(p, p, t, dloss, shape);
    }
}

INLINE void softmax_share(const target kind, const int trains, softmax_task task, nn_range rows)
{
    const row shape = row_of(task.n);
    if (task.n <= 16)
        for (int64_t r = rows.begin; r < rows.end; r += LANES)
            if (rows.end - r >= LANES)
                softmax_narrow(kind, trains, &task, r, LANES);
            else
                softmax_narrow(kind, trains, &task, r, (int)(rows.end - r));
    else
        for (int64_t r = rows.begin; r < rows.end; r++) {
            softmax_wide(kind, &task, &shape, r);
            if (trains)
                train_wide(kind, &task, &shape, r);
        }
}

/* p[m,n] = exp(z - max z) / sum exp(z - max z); p may be z */
KERNEL(op_softmax)
{
    (void)step;
    const softmax_task task = {.n = instr->dim[1], .p = instr->operand[0], .z = instr->operand[1]};
    softmax_share(NO_TARGET, 0, task, nn_share(instr->dim[0], 1, part, parts));
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
    softmax_share(DENSE_TARGET, 0, loss_task(instr), nn_share(instr->dim[0], 1, part, parts));
}

/* p[m,n] = softmax(z), loss[m] = log(sum exp(z - max z)) - (z - max z)[label[m]]; p may be z */
KERNEL(op_sparse_softmax_cross_entropy)
{
    (void)step;
    softmax_share(LABEL_TARGET, 0, loss_task(instr), nn_share(instr->dim[0], 1, part, parts));
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
    real *dz = instr->operand[0];
    const real *p = instr->operand[1], *t = instr->operand[2], *dloss = instr->operand[3];
    EACH_ROW(instr->dim[0], gradient_of_row(dz + r * n, p + r * n, t + r * n, dloss[r], &shape));
}

/* dz[m,n] = (p - onehot(label)) dloss[m]; dz may be p */
KERNEL(op_sparse_softmax_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *dz = instr->operand[0];
    const real *p = instr->operand[1], *dloss = instr->operand[3];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], gradient_of_label(dz + r * n, p + r * n, label[r], dloss[r], &shape));
}

INLINE softmax_task train_task(const nn_instr *instr)
{
    void *const *operand = instr->operand;
    return (softmax_task){.n = instr->dim[1], .p = operand[0], .loss = operand[1], .match = operand[2],
                          .z = operand[3], .targets = operand[4], .weights = operand[5],
                          .count = (real)instr->dim[0]};
}

/* loss and match as of op_softmax_cross_entropy and op_categorical_matches; dz[m,n] = (p sum_n t - t) weight[m] / m;
   dz may be z */
KERNEL(op_softmax_cross_entropy_train)
{
    (void)step;
    softmax_share(DENSE_TARGET, 1, train_task(instr), nn_share(instr->dim[0], 1, part, parts));
}

/* likewise with labels: dz[m,n] = (p - onehot(label)) weight[m] / m; dz may be z */
KERNEL(op_sparse_softmax_cross_entropy_train)
{
    (void)step;
    softmax_share(LABEL_TARGET, 1, train_task(instr), nn_share(instr->dim[0], 1, part, parts));
}

#endif
