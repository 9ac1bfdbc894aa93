/* Losses of values p[m,n] against targets t[m,n], one value a row, and their gradients in p. */
#ifndef NNCORE_REGRESSION_H
#define NNCORE_REGRESSION_H

#include "losses.h"

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

KERNEL(op_mean_squared_error) { ROW_MEAN(squared_error); }
KERNEL(op_mean_absolute_error) { ROW_MEAN(absolute_error); }

KERNEL(op_mean_squared_error_grad) { ROW_MEAN_GRAD(vec_sub, 2); }
KERNEL(op_mean_absolute_error_grad) { ROW_MEAN_GRAD(sign_of_error, 1); }

/* max(|t|, EPSILON) */
INLINE vec size_of(vec t) { return vec_max(vec_set1(EPSILON), vec_abs(t)); }

INLINE vec percentage_error(vec p, vec t) { return vec_mul(vec_set1(100), vec_div(absolute_error(p, t), size_of(t))); }
INLINE vec percentage_slope(vec p, vec t) { return vec_div(sign_of_error(p, t), size_of(t)); }

KERNEL(op_mean_absolute_percentage_error) { ROW_MEAN(percentage_error); }
KERNEL(op_mean_absolute_percentage_error_grad) { ROW_MEAN_GRAD(percentage_slope, 100); }

/* 1 + x, x first raised to at least EPSILON */
INLINE vec one_and(vec x) { return vec_add(vec_max(vec_set1(EPSILON), x), vec_set1(1)); }

INLINE vec logarithmic_error(vec p, vec t) { return vec_sub(vec_log(one_and(p)), vec_log(one_and(t))); }

INLINE vec squared_logarithmic_error(vec p, vec t)
{
    const vec error = logarithmic_error(p, t);
    return vec_mul(error, error);
}

INLINE vec logarithmic_slope(vec p, vec t)
{
    const vec slope = vec_div(logarithmic_error(p, t), one_and(p));
    return vec_select(vec_lt(p, vec_set1(EPSILON)), vec_zero(), slope);
}

KERNEL(op_mean_squared_logarithmic_error) { ROW_MEAN(squared_logarithmic_error); }
KERNEL(op_mean_squared_logarithmic_error_grad) { ROW_MEAN_GRAD(logarithmic_slope, 2); }

/* e² / 2 where |e| <= delta, else delta |e| - delta² / 2 */
INLINE vec huber_term(vec size, vec delta, vec offset)
{
    const vec near = vec_mul(vec_set1((real)0.5), vec_mul(size, size)), far = vec_sub(vec_mul(delta, size), offset);
    return vec_select(vec_le(size, delta), near, far);
}

KERNEL(op_huber)
{
    const double width = instr->attribute[0];
    const vec delta = vec_set1((real)width), offset = vec_set1((real)(0.5 * width * width));
#define TERM(p, t) huber_term(absolute_error(p, t), delta, offset)
    ROW_MEAN(TERM);
#undef TERM
}

KERNEL(op_huber_grad)
{
    const vec delta = vec_set1((real)instr->attribute[0]);
#define SLOPE(p, t) clip_to(vec_sub(p, t), vec_neg(delta), delta)
    ROW_MEAN_GRAD(SLOPE, 1);
#undef SLOPE
}

/* |e| + log(1 + exp(-2 |e|)) - log 2 */
INLINE vec log_cosh_term(vec p, vec t)
{
    const vec size = absolute_error(p, t), rest = vec_log1p(vec_exp(vec_mul(vec_set1(-2), size)));
    return vec_sub(vec_add(size, rest), vec_set1((real)0.69314718055994531));
}

INLINE vec log_cosh_slope(vec p, vec t) { return vec_tanh(vec_sub(p, t)); }

KERNEL(op_log_cosh) { ROW_MEAN(log_cosh_term); }
KERNEL(op_log_cosh_grad) { ROW_MEAN_GRAD(log_cosh_slope, 1); }

/* p - t log(p + EPSILON) */
INLINE vec poisson_term(vec p, vec t) { return vec_sub(p, vec_mul(t, vec_log(vec_add(p, vec_set1(EPSILON))))); }
INLINE vec poisson_slope(vec p, vec t) { return vec_sub(vec_set1(1), vec_div(t, vec_add(p, vec_set1(EPSILON)))); }

KERNEL(op_poisson) { ROW_MEAN(poisson_term); }
KERNEL(op_poisson_grad) { ROW_MEAN_GRAD(poisson_slope, 1); }

/* |x| of a row */
INLINE vec length_of(const row *shape, const real *x)
{
    vec sum[WIDE];
    wide_set(sum, vec_zero());
    EACH_IN_ROW(*shape, sum[w] = vec_add(sum[w], vec_mul(LOAD(x), LOAD(x))));
    return vec_sqrt(vec_set1(wide_sum(sum)));
}

/* 1 / length, the length raised to at least EPSILON */
INLINE vec one_over_length(vec length) { return vec_div(vec_set1(1), vec_max(vec_set1(EPSILON), length)); }

/* sum_n (t / |t|) (p / |p|) of a row, given 1 / |p| and 1 / |t| */
INLINE vec cosine(const row *shape, const real *p, const real *t, vec by_p, vec by_t)
{
    vec sum[WIDE];
    wide_set(sum, vec_zero());
    EACH_IN_ROW(*shape, {
        const vec term = vec_mul(vec_mul(LOAD(t), by_t), vec_mul(LOAD(p), by_p));
        sum[w] = vec_add(sum[w], KEEP(term, vec_zero()));
    });
    return vec_set1(wide_sum(sum));
}

/* loss[m] = -sum_n (t / |t|) (p / |p|), where |x| is at least EPSILON */
KERNEL(op_cosine_similarity)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *loss = instr->operand[0];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec by_p = one_over_length(length_of(&shape, p)), by_t = one_over_length(length_of(&shape, t));
        loss[r] = vec_first(vec_neg(cosine(&shape, p, t, by_p, by_t)));
    });
}

/* dp[m,n] = (u c - v) / |p| dloss[m], u = p / |p|, v = t / |t|, c = sum_n u v, or 0 where |p| was raised; dp may be
   p */
KERNEL(op_cosine_similarity_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dp = (real *)instr->operand[0] + r * n;
        const real *p = (const real *)instr->operand[1] + r * n, *t = (const real *)instr->operand[2] + r * n;
        const vec length = length_of(&shape, p), by_p = one_over_length(length);
        const vec by_t = one_over_length(length_of(&shape, t));
        const vec turn = cosine(&shape, p, t, by_p, by_t);
        const vec product = vec_select(vec_lt(length, vec_set1(EPSILON)), vec_zero(), turn);
        const vec scale = vec_mul(by_p, vec_set1(((const real *)instr->operand[3])[r]));
        EACH_IN_ROW(shape, {
            const vec slope = vec_sub(vec_mul(vec_mul(LOAD(p), by_p), product), vec_mul(LOAD(t), by_t));
            STORE(dp, vec_mul(slope, scale));
        });
    });
}

#endif
