/* Losses of predictions p[m,n] against targets t[m,n], one value a row, and their gradients. Sums over a row: loops.h. */
#ifndef NNCORE_LOSSES_H
#define NNCORE_LOSSES_H

#include "loops.h"
#include "math.h"

#define EPSILON ((real)1e-7) /* how far probabilities are kept from 0 and 1 before a logarithm */

/* dp[m,n] = f(p, t) (factor dloss[m] / n); dp may be p. Where n is 1 the rows are one vector. */
#define ROW_MEAN_GRAD(f, factor)                                                                                      \
    const int64_t n = instr->dim[1];                                                                                   \
    const row shape = row_of(n);                                                                                       \
    real *dp = instr->operand[0];                                                                                      \
    const real *p = instr->operand[1], *t = instr->operand[2], *dloss = instr->operand[3];                             \
    if (n == 1)                                                                                                        \
        EACH_VEC(instr->dim[0],                                                                                        \
                 STORE(dp, vec_mul(f(LOAD(p), LOAD(t)), vec_mul(vec_set1(factor), LOAD(dloss)))));                     \
    else                                                                                                               \
        EACH_ROW(instr->dim[0], {                                                                                      \
            const vec scale = vec_set1((factor) * dloss[r] / (real)n);                                                 \
            EACH_IN_ROW(shape, STORE(dp + r * n, vec_mul(f(LOAD(p + r * n), LOAD(t + r * n)), scale)));                \
        })

INLINE vec squared_error(vec p, vec t)
{
    const vec error = vec_sub(p, t);
    return vec_mul(error, error);
}

INLINE vec absolute_error(vec p, vec t) { return vec_abs(vec_sub(p, t)); }

/* sign(p - t), 0 at 0 */
INLINE vec sign_of_error(vec p, vec t)
{
    const vec error = vec_sub(p, t), up = vec_set1(1), down = vec_set1(-1);
    return vec_select(vec_lt(vec_zero(), error), up, vec_select(vec_lt(error, vec_zero()), down, error));
}

/* p kept in [EPSILON, 1 - EPSILON] */
INLINE vec clip(vec p) { return vec_min(vec_set1(1 - EPSILON), vec_max(vec_set1(EPSILON), p)); }

/* v where p was not clipped, else 0 */
INLINE vec where_inside(vec p, vec v)
{
    v = vec_select(vec_lt(p, vec_set1(EPSILON)), vec_zero(), v);
    return vec_select(vec_lt(vec_set1(1 - EPSILON), p), vec_zero(), v);
}

/* -(t log q + (1 - t) log(1 - q)), q = p clipped */
INLINE vec binary_term(vec p, vec t)
{
    const vec one = vec_set1(1), q = clip(p);
    const vec hit = vec_mul(t, vec_log(q)), miss = vec_mul(vec_sub(one, t), vec_log(vec_sub(one, q)));
    return vec_neg(vec_add(hit, miss));
}

/* (q - t) / (q (1 - q)) where p was not clipped, else 0 */
INLINE vec binary_slope(vec p, vec t)
{
    const vec q = clip(p);
    return where_inside(p, vec_div(vec_sub(q, t), vec_mul(q, vec_sub(vec_set1(1), q))));
}

KERNEL(op_mean_squared_error) { ROW_MEAN(squared_error); }
KERNEL(op_mean_absolute_error) { ROW_MEAN(absolute_error); }
KERNEL(op_binary_cross_entropy) { ROW_MEAN(binary_term); }

KERNEL(op_mean_squared_error_grad) { ROW_MEAN_GRAD(vec_sub, 2); }
KERNEL(op_mean_absolute_error_grad) { ROW_MEAN_GRAD(sign_of_error, 1); }
KERNEL(op_binary_cross_entropy_grad) { ROW_MEAN_GRAD(binary_slope, 1); }
KERNEL(op_sigmoid_binary_cross_entropy_grad) { ROW_MEAN_GRAD(vec_sub, 1); }

/* max(z, 0) - z t + log(1 + exp(-|z|)) */
INLINE vec logit_term(vec z, vec t)
{
    const vec linear = vec_sub(vec_max(vec_zero(), z), vec_mul(z, t));
    return vec_add(linear, vec_log1p(vec_exp(vec_neg(vec_abs(z)))));
}

/* p[m,n] = sigmoid(z), loss[m] = mean_n logit_term(z, t); p may be z */
KERNEL(op_sigmoid_binary_cross_entropy)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *p = instr->operand[0], *loss = instr->operand[1];
    const real *z = instr->operand[2], *t = instr->operand[3];
    if (n == 1)
        EACH_VEC(instr->dim[0], {
            const vec logit = LOAD(z);
            STORE(loss, logit_term(logit, LOAD(t)));
            STORE(p, vec_sigmoid(logit));
        });
    else
        EACH_ROW(instr->dim[0], {
            vec sum[WIDE];
            wide_set(sum, vec_zero());
            EACH_IN_ROW(shape, {
                const vec logit = LOAD(z + r * n), term = logit_term(logit, LOAD(t + r * n));
                sum[w] = vec_add(sum[w], KEEP(term, vec_zero()));
                STORE(p + r * n, vec_sigmoid(logit));
            });
            loss[r] = wide_sum(sum) / (real)n;
        });
}

INLINE vec row_total(const row *shape, const real *p)
{
    vec sum[WIDE];
    wide_set(sum, vec_zero());
    EACH_IN_ROW(*shape, sum[w] = vec_add(sum[w], LOAD(p)));
    return vec_set1(wide_sum(sum));
}

/* loss[m] = -sum_n t log q, q = p / sum_n p clipped */
KERNEL(op_cross_entropy)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *loss = instr->operand[0];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec total = row_total(&shape, p);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec term = vec_mul(LOAD(t), vec_log(clip(vec_div(LOAD(p), total))));
            sum[w] = vec_sub(sum[w], KEEP(term, vec_zero()));
        });
        loss[r] = wide_sum(sum);
    });
}

/* dq = -t / q where p / total was not clipped, else 0 */
INLINE vec cross_entropy_slope(vec ratio, vec t) { return where_inside(ratio, vec_neg(vec_div(t, clip(ratio)))); }

/* dp[m,n] = (dq - sum_n dq q) / sum_n p dloss[m]; dp may be p */
KERNEL(op_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec dloss = vec_set1(((const real *)instr->operand[3])[r]), total = row_total(&shape, p);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec ratio = vec_div(LOAD(p), total), term = vec_mul(cross_entropy_slope(ratio, LOAD(t)), clip(ratio));
            sum[w] = vec_add(sum[w], KEEP(term, vec_zero()));
        });
        const vec product = vec_set1(wide_sum(sum));
        EACH_IN_ROW(shape, {
            const vec dq = cross_entropy_slope(vec_div(LOAD(p), total), LOAD(t));
            STORE(dp, vec_mul(vec_div(vec_sub(dq, product), total), dloss));
        });
    });
}

/* loss[m] = -log q[label[m]], q = p / sum_n p clipped */
KERNEL(op_sparse_cross_entropy)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *loss = instr->operand[0];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n;
        const vec ratio = vec_div(vec_set1(p[label[r]]), row_total(&shape, p));
        loss[r] = vec_first(vec_neg(vec_log(clip(ratio))));
    });
}

/* dp[m,n] = (dq onehot(label) - dq q) / sum_n p dloss[m], q and dq at the label; dp may be p */
KERNEL(op_sparse_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n;
        const vec dloss = vec_set1(((const real *)instr->operand[3])[r]), total = row_total(&shape, p);
        const vec ratio = vec_div(vec_set1(p[label[r]]), total), dq = cross_entropy_slope(ratio, vec_set1(1));
        const vec product = vec_mul(dq, clip(ratio));
        const vec other = vec_mul(vec_div(vec_sub(vec_zero(), product), total), dloss);
        EACH_IN_ROW(shape, STORE(dp, other));
        dp[label[r]] = vec_first(vec_mul(vec_div(vec_sub(dq, product), total), dloss));
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
