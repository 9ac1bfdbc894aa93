/* Losses of classes: p[m,n] against targets t[m,n] or a label a row, one value a row, and their gradients in p. */
#ifndef NNCORE_CLASSIFICATION_H
#define NNCORE_CLASSIFICATION_H

#include "losses.h"

/* p kept in [EPSILON, 1 - EPSILON] */
INLINE vec clip(vec p) { return clip_to(p, vec_set1(EPSILON), vec_set1(1 - EPSILON)); }

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

KERNEL(op_binary_cross_entropy) { ROW_MEAN(binary_term); }
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

/* ---- Focal forms: what is nearly right counts for little. */

/* gamma x^(gamma - 1) */
INLINE vec power_slope(vec x, real gamma)
{
    return gamma == 0 ? vec_zero() : vec_mul(vec_set1(gamma), vec_pow(x, gamma - 1));
}

/* max(1 - (t p + (1 - t)(1 - p)), 0) */
INLINE vec misses(vec p, vec t)
{
    const vec one = vec_set1(1), hit = vec_add(vec_mul(t, p), vec_mul(vec_sub(one, t), vec_sub(one, p)));
    return vec_max(vec_zero(), vec_sub(one, hit));
}

/* The attributes of binary_focal_cross_entropy: the exponent, the weights of the targets 1 and 0. */
typedef struct {
    real gamma;
    vec one, zero;
} focus;

INLINE focus focus_of(const nn_instr *instr)
{
    const double *attribute = instr->attribute;
    return (focus){(real)attribute[0], vec_set1((real)attribute[1]), vec_set1((real)attribute[2])};
}

/* t one + (1 - t) zero */
INLINE vec balance(vec t, const focus *f)
{
    return vec_add(vec_mul(t, f->one), vec_mul(vec_sub(vec_set1(1), t), f->zero));
}

INLINE vec binary_focal_term(vec p, vec t, const focus *f)
{
    return vec_mul(balance(t, f), vec_mul(vec_pow(misses(p, t), f->gamma), binary_term(p, t)));
}

INLINE vec binary_focal_slope(vec p, vec t, const focus *f)
{
    const vec x = misses(p, t), turn = vec_sub(vec_set1(1), vec_mul(vec_set1(2), t));
    const vec steady = vec_mul(vec_pow(x, f->gamma), binary_slope(p, t));
    const vec slope = vec_add(steady, vec_mul(turn, vec_mul(power_slope(x, f->gamma), binary_term(p, t))));
    return vec_mul(balance(t, f), slope);
}

/* loss[m] = mean_n w x^gamma c, w = balance, x = misses, c = binary_term */
KERNEL(op_binary_focal_cross_entropy)
{
    const focus f = focus_of(instr);
#define TERM(p, t) binary_focal_term(p, t, &f)
    ROW_MEAN(TERM);
#undef TERM
}

KERNEL(op_binary_focal_cross_entropy_grad)
{
    const focus f = focus_of(instr);
#define SLOPE(p, t) binary_focal_slope(p, t, &f)
    ROW_MEAN_GRAD(SLOPE, 1);
#undef SLOPE
}

/* loss[m] = -sum_n alpha (1 - q)^gamma t log q, q = p / sum_n p clipped */
KERNEL(op_focal_cross_entropy)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real gamma = (real)instr->attribute[0];
    const vec alpha = vec_set1((real)instr->attribute[1]), one = vec_set1(1);
    real *loss = instr->operand[0];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec total = row_total(&shape, p);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec q = clip(vec_div(LOAD(p), total)), share = vec_mul(alpha, vec_pow(vec_sub(one, q), gamma));
            const vec term = vec_mul(share, vec_mul(LOAD(t), vec_log(q)));
            sum[w] = vec_sub(sum[w], KEEP(term, vec_zero()));
        });
        loss[r] = wide_sum(sum);
    });
}

/* dq = alpha t (gamma (1 - q)^(gamma - 1) log q - (1 - q)^gamma / q) where the ratio was not clipped, else 0 */
INLINE vec focal_slope(vec ratio, vec t, real gamma, vec alpha)
{
    const vec q = clip(ratio), x = vec_sub(vec_set1(1), q);
    const vec slope = vec_sub(vec_mul(power_slope(x, gamma), vec_log(q)), vec_div(vec_pow(x, gamma), q));
    return where_inside(ratio, vec_mul(vec_mul(alpha, t), slope));
}

/* dp[m,n] = (dq - sum_n dq q) / sum_n p dloss[m]; dp may be p */
KERNEL(op_focal_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real gamma = (real)instr->attribute[0];
    const vec alpha = vec_set1((real)instr->attribute[1]);
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec dloss = vec_set1(((const real *)instr->operand[3])[r]), total = row_total(&shape, p);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec ratio = vec_div(LOAD(p), total);
            const vec term = vec_mul(focal_slope(ratio, LOAD(t), gamma, alpha), clip(ratio));
            sum[w] = vec_add(sum[w], KEEP(term, vec_zero()));
        });
        const vec product = vec_set1(wide_sum(sum));
        EACH_IN_ROW(shape, {
            const vec dq = focal_slope(vec_div(LOAD(p), total), LOAD(t), gamma, alpha);
            STORE(dp, vec_mul(vec_div(vec_sub(dq, product), total), dloss));
        });
    });
}

/* loss[m] = (1 - p[label[m]]^q) / q */
KERNEL(op_generalized_cross_entropy)
{
    const int64_t n = instr->dim[1];
    const real q = (real)instr->attribute[0];
    real *loss = instr->operand[0];
    const real *p = instr->operand[1];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        const vec power = vec_pow(vec_set1(p[r * n + label[r]]), q);
        loss[r] = vec_first(vec_div(vec_sub(vec_set1(1), power), vec_set1(q)));
    });
}

/* dp[m,n] = -p^(q - 1) dloss[m] at the label, else 0; dp may be p */
KERNEL(op_generalized_cross_entropy_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real exponent = (real)(instr->attribute[0] - 1);
    const real *p = instr->operand[1], *dloss = instr->operand[3];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const vec slope = vec_neg(vec_pow(vec_set1(p[r * n + label[r]]), exponent));
        EACH_IN_ROW(shape, STORE(dp, vec_zero()));
        dp[label[r]] = vec_first(vec_mul(slope, vec_set1(dloss[r])));
    });
}

/* ---- Divergence and hinges. */

/* x clipped to [EPSILON, 1] */
INLINE vec clip_to_one(vec x) { return clip_to(x, vec_set1(EPSILON), vec_set1(1)); }

INLINE vec divergence_term(vec p, vec t)
{
    const vec u = clip_to_one(t);
    return vec_mul(u, vec_log(vec_div(u, clip_to_one(p))));
}

INLINE vec divergence_slope(vec p, vec t)
{
    const vec slope = vec_neg(vec_div(clip_to_one(t), clip_to_one(p)));
    const vec inside = vec_select(vec_lt(vec_set1(1), p), vec_zero(), slope);
    return vec_select(vec_lt(p, vec_set1(EPSILON)), vec_zero(), inside);
}

KERNEL(op_kl_divergence) { ROW_SUM(divergence_term, 1); }
KERNEL(op_kl_divergence_grad) { ROW_GRAD(divergence_slope, 1, 1); }

/* 1 - t p */
INLINE vec margin_of(vec p, vec t) { return vec_sub(vec_set1(1), vec_mul(t, p)); }

INLINE vec hinge_term(vec p, vec t) { return vec_max(vec_zero(), margin_of(p, t)); }
INLINE vec hinge_slope(vec p, vec t) { return where_positive(margin_of(p, t), vec_neg(t)); }
INLINE vec squared_hinge_term(vec p, vec t) { return vec_mul(hinge_term(p, t), hinge_term(p, t)); }
INLINE vec squared_hinge_slope(vec p, vec t) { return vec_mul(vec_neg(t), hinge_term(p, t)); }

KERNEL(op_hinge) { ROW_MEAN(hinge_term); }
KERNEL(op_hinge_grad) { ROW_MEAN_GRAD(hinge_slope, 1); }
KERNEL(op_squared_hinge) { ROW_MEAN(squared_hinge_term); }
KERNEL(op_squared_hinge_grad) { ROW_MEAN_GRAD(squared_hinge_slope, 2); }

/* (1 - t) p */
INLINE vec wrong_of(vec p, vec t) { return vec_mul(vec_sub(vec_set1(1), t), p); }

/* max_n (1 - t) p, and the margin max_n (1 - t) p - sum_n t p + 1; NaN where there is one */
INLINE vec categorical_margin(const row *shape, const real *p, const real *t, vec *largest)
{
    vec top[WIDE], sum[WIDE], nan[WIDE];
    wide_set(top, vec_set1(-INFINITY));
    wide_set(sum, vec_zero());
    wide_set(nan, vec_zero());
    EACH_IN_ROW(*shape, {
        const vec wrong = wrong_of(LOAD(p), LOAD(t));
        top[w] = vec_max(top[w], KEEP(wrong, vec_set1(-INFINITY)));
        nan[w] = vec_add(nan[w], vec_select(vec_eq(wrong, wrong), vec_zero(), wrong));
        sum[w] = vec_add(sum[w], KEEP(vec_mul(LOAD(t), LOAD(p)), vec_zero()));
    });
    *largest = vec_set1(wide_max(top));
    const vec right = vec_set1(wide_sum(sum));
    return vec_add(vec_set1(wide_sum(nan)), vec_add(vec_sub(*largest, right), vec_set1(1)));
}

/* loss[m] = max(max_n (1 - t) p - sum_n t p + 1, 0) */
KERNEL(op_categorical_hinge)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *loss = instr->operand[0];
    const real *p = instr->operand[1], *t = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        vec largest;
        loss[r] = vec_first(vec_max(vec_zero(), categorical_margin(&shape, p + r * n, t + r * n, &largest)));
    });
}

/* dp[m,n] = ((1 - t) share - t) dloss[m] where the loss is above 0, else 0; share is 1 / k at the k largest (1 - t) p,
   else 0; dp may be p */
KERNEL(op_categorical_hinge_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const vec one = vec_set1(1), none = vec_zero();
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec dloss = vec_set1(((const real *)instr->operand[3])[r]);
        vec largest;
        vec count[WIDE];
        wide_set(count, none);
        const vec margin = categorical_margin(&shape, p, t, &largest);
        EACH_IN_ROW(shape, {
            const vec hit = vec_select(vec_eq(wrong_of(LOAD(p), LOAD(t)), largest), one, none);
            count[w] = vec_add(count[w], KEEP(hit, none));
        });
        const vec share = vec_div(one, vec_set1(wide_sum(count)));
        EACH_IN_ROW(shape, {
            const vec hit = vec_select(vec_eq(wrong_of(LOAD(p), LOAD(t)), largest), share, none);
            const vec slope = vec_sub(vec_mul(vec_sub(one, LOAD(t)), hit), LOAD(t));
            STORE(dp, vec_mul(where_positive(margin, slope), dloss));
        });
    });
}

#endif
