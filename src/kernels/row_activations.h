/* Activations of the values along an axis, and those with a weight a column. Sums over a row: see loops.h. */
#ifndef NNCORE_ROW_ACTIVATIONS_H
#define NNCORE_ROW_ACTIVATIONS_H

#include <math.h>

#include "loops.h"
#include "math.h"

INLINE vec row_max(const row *shape, const real *z)
{
    vec top[WIDE];
    wide_set(top, vec_set1(-INFINITY));
    EACH_IN_ROW(*shape, top[w] = vec_max(top[w], KEEP(LOAD(z), vec_set1(-INFINITY))));
    return vec_set1(wide_max(top));
}

/* y[m,n] = z - max z - log(sum exp(z - max z)); y may be z */
KERNEL(op_log_softmax)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * n;
        const real *z = (const real *)instr->operand[1] + r * n;
        const vec max = row_max(&shape, z);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec e = vec_exp(vec_sub(LOAD(z), max));
            sum[w] = vec_add(sum[w], KEEP(e, vec_zero()));
        });
        const vec log_total = vec_log(vec_set1(wide_sum(sum)));
        EACH_IN_ROW(shape, STORE(y, vec_sub(vec_sub(LOAD(z), max), log_total)));
    });
}

/* dz[m,n] = dy - exp(y) sum_n dy; dz may be dy or y */
KERNEL(op_log_softmax_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dz = (real *)instr->operand[0] + r * n;
        const real *dy = (const real *)instr->operand[1] + r * n;
        const real *y = (const real *)instr->operand[2] + r * n;
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], LOAD(dy)));
        const vec total = vec_set1(wide_sum(sum));
        EACH_IN_ROW(shape, STORE(dz, vec_sub(LOAD(dy), vec_mul(vec_exp(LOAD(y)), total))));
    });
}

/* p[m,n] = max(z - t, 0), t such that sum_n p = 1; p may be z. With s = z - max z, t is the zero of the convex function
   sum max(s - t, 0) - 1. Newton's method from t = -1, where it is not negative, goes up to it, and each step is the mean
   of the s beyond t, less 1 over their number. A row that holds NaN after the subtraction becomes NaN. */
KERNEL(op_sparsemax)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *p = (real *)instr->operand[0] + r * n;
        const real *z = (const real *)instr->operand[1] + r * n;
        const vec zero = vec_zero();
        const vec one = vec_set1(1);
        const vec max = row_max(&shape, z);
        vec poison[WIDE];
        wide_set(poison, zero);
        EACH_IN_ROW(shape, {
            const vec s = vec_sub(LOAD(z), max);
            const vec bad = vec_select(vec_eq(s, s), zero, s);
            poison[w] = vec_add(poison[w], KEEP(bad, zero));
        });
        real t = -1;
        for (real next = t;; t = next) {
            const vec limit = vec_set1(t);
            vec sum[WIDE];
            vec count[WIDE];
            wide_set(sum, zero);
            wide_set(count, zero);
            EACH_IN_ROW(shape, {
                const vec s = KEEP(vec_sub(LOAD(z), max), limit);
                const vec_cond beyond = vec_lt(limit, s);
                sum[w] = vec_add(sum[w], vec_select(beyond, s, zero));
                count[w] = vec_add(count[w], vec_select(beyond, one, zero));
            });
            next = (wide_sum(sum) - 1) / wide_sum(count);
            if (!(next > t))
                break;
        }
        const vec level = vec_set1(t + wide_sum(poison));
        EACH_IN_ROW(shape, STORE(p, vec_max(zero, vec_sub(vec_sub(LOAD(z), max), level))));
    });
}

/* dz[m,n] = dp less its mean over the elements with p > 0, there, else 0; dz may be dp or p */
KERNEL(op_sparsemax_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    EACH_ROW(instr->dim[0], {
        real *dz = (real *)instr->operand[0] + r * n;
        const real *dp = (const real *)instr->operand[1] + r * n;
        const real *p = (const real *)instr->operand[2] + r * n;
        const vec zero = vec_zero();
        vec sum[WIDE];
        vec count[WIDE];
        wide_set(sum, zero);
        wide_set(count, zero);
        EACH_IN_ROW(shape, {
            const vec_cond support = vec_lt(zero, LOAD(p));
            sum[w] = vec_add(sum[w], vec_select(support, LOAD(dp), zero));
            count[w] = vec_add(count[w], vec_select(support, vec_set1(1), zero));
        });
        const vec mean = vec_set1(wide_sum(sum) / wide_sum(count));
        EACH_IN_ROW(shape, STORE(dz, vec_select(vec_lt(zero, LOAD(p)), vec_sub(LOAD(dp), mean), zero)));
    });
}

/* y[m,h] = x[m,0,h] sigmoid(x[m,1,h]) */
KERNEL(op_glu)
{
    const int64_t h = instr->dim[2];
    const row shape = row_of(h);
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * h;
        const real *x = (const real *)instr->operand[1] + 2 * r * h;
        const real *gate = x + h;
        EACH_IN_ROW(shape, STORE(y, vec_mul(LOAD(x), vec_sigmoid(LOAD(gate)))));
    });
}

/* dx[m,0,h] = dy sigmoid(x[m,1,h]), dx[m,1,h] = dy x[m,0,h] sigmoid'(x[m,1,h]); dx may be x */
KERNEL(op_glu_grad)
{
    const int64_t h = instr->dim[1];
    const row shape = row_of(h);
    EACH_ROW(instr->dim[0], {
        real *dx = (real *)instr->operand[0] + 2 * r * h;
        real *d_gate = dx + h;
        const real *dy = (const real *)instr->operand[1] + r * h;
        const real *x = (const real *)instr->operand[2] + 2 * r * h;
        const real *gate = x + h;
        EACH_IN_ROW(shape, {
            vec slope;
            const vec share = vec_sigmoid_and_slope(LOAD(gate), &slope);
            const vec product = vec_mul(LOAD(x), slope);
            STORE(d_gate, vec_mul(LOAD(dy), product));
            STORE(dx, vec_mul(LOAD(dy), share));
        });
    });
}

/* x where x > 0, else alpha x, and 0 where alpha is 0 */
INLINE vec prelu(vec x, vec alpha) { return vec_select(vec_lt(vec_zero(), x), x, vec_weigh(alpha, x)); }

/* dy where x > 0, alpha dy where x < 0, else 0 times dy */
INLINE vec prelu_grad(vec dy, vec x, vec alpha)
{
    const vec below = vec_select(vec_lt(x, vec_zero()), alpha, vec_zero());
    return vec_mul(dy, vec_select(vec_lt(vec_zero(), x), vec_set1(1), below));
}

/* y[m,n] = x where x > 0, else alpha[n] x; y may be x. Where n is 1 the rows are one vector. */
KERNEL(op_prelu)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *y = instr->operand[0];
    const real *x = instr->operand[1], *alpha = instr->operand[2];
    if (n == 1)
        EACH_VEC(instr->dim[0], STORE(y, prelu(LOAD(x), vec_set1(*alpha))));
    else
        EACH_ROW(instr->dim[0], EACH_IN_ROW(shape, STORE(y + r * n, prelu(LOAD(x + r * n), LOAD(alpha)))));
}

/* dx[m,n] = dy where x > 0, alpha[n] dy where x < 0, else 0; dx may be dy or x */
KERNEL(op_prelu_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *dx = instr->operand[0];
    const real *dy = instr->operand[1], *x = instr->operand[2], *alpha = instr->operand[3];
    if (n == 1)
        EACH_VEC(instr->dim[0], STORE(dx, prelu_grad(LOAD(dy), LOAD(x), vec_set1(*alpha))));
    else
        EACH_ROW(instr->dim[0], EACH_IN_ROW(shape, {
            const vec slope = LOAD(alpha);
            STORE(dx + r * n, prelu_grad(LOAD(dy + r * n), LOAD(x + r * n), slope));
        }));
}

#endif
