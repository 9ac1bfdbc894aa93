/* Penalties that are added to the loss, and limits that weights are held in after each update. */
#ifndef NNCORE_PENALTIES_H
#define NNCORE_PENALTIES_H

#include <math.h>

#include "loops.h"

#define NORM_EPSILON ((real)1e-7) /* added to a norm before a division by it */

enum {
    SUMMED = 1024, /* values summed as reals before the sum goes on in double */
    COLUMNS = 64,  /* whose squares are summed together, in the order of the rows */
};

/* The sums of |x| and of x², over `count` elements */
INLINE void sum_sizes(const real *x, int64_t count, double *straight, double *square)
{
    *straight = *square = 0;
    for (int64_t first = 0; first < count; first += SUMMED, x += SUMMED) {
        const row shape = row_of(count - first < SUMMED ? count - first : SUMMED);
        vec sum[WIDE], sum2[WIDE];
        wide_set(sum, vec_zero());
        wide_set(sum2, vec_zero());
        EACH_IN_ROW(shape, {
            const vec v = LOAD(x);
            sum[w] = vec_add(sum[w], vec_abs(v));
            sum2[w] = vec_add(sum2[w], vec_mul(v, v));
        });
        *straight += wide_sum(sum);
        *square += wide_sum(sum2);
    }
}

/* penalty = l1 sum_m |x| + l2 sum_m x², a part whose factor is 0 left out. Share 0 does all of it. */
KERNEL(op_penalty)
{
    (void)step, (void)parts;
    if (part > 0)
        return;
    const real l1 = (real)instr->attribute[0], l2 = (real)instr->attribute[1];
    real *penalty = instr->operand[0], total = 0;
    double straight, square;
    sum_sizes(instr->operand[1], instr->dim[0], &straight, &square);
    if (l1 != 0)
        total += l1 * (real)straight;
    if (l2 != 0)
        total += l2 * (real)square;
    *penalty = total;
}

/* dx = d l1 sign(x) + d 2 l2 x, a part whose factor is 0 left out; dx may be x */
KERNEL(op_penalty_grad)
{
    real *dx = instr->operand[0];
    const real d = *(const real *)instr->operand[1], *x = instr->operand[2];
    const real l1 = (real)instr->attribute[0], l2 = (real)(2 * instr->attribute[1]);
    const vec straight = vec_set1(d * l1), square = vec_set1(d * l2);
    const int has_l1 = l1 != 0, has_l2 = l2 != 0;
    EACH_VEC(instr->dim[0], {
        const vec v = LOAD(x), none = vec_zero();
        const vec sign = vec_select(vec_eq(v, none), none, vec_select(vec_eq(v, v), vec_copysign(vec_set1(1), v), v));
        STORE(dx, vec_add(has_l1 ? vec_mul(straight, sign) : none, has_l2 ? vec_mul(square, v) : none));
    });
}

/* y = penalty / m, 0 where m is 0 */
KERNEL(op_per_sample)
{
    (void)step, (void)parts;
    real *y = instr->operand[0];
    const real *penalty = instr->operand[1];
    if (part == 0)
        *y = instr->dim[0] ? *penalty / (real)instr->dim[0] : 0;
}

/* y = value */
KERNEL(op_constant)
{
    (void)step, (void)parts;
    if (part == 0)
        *(real *)instr->operand[0] = (real)instr->attribute[0];
}

/* total += m penalty */
KERNEL(op_add_penalty)
{
    (void)step, (void)parts;
    double *total = instr->operand[0];
    const real *penalty = instr->operand[2];
    if (part == 0)
        *total += (double)instr->dim[0] * *penalty;
}

/* y[k,n] = x[k,n], 0 where k = n; y may be x */
KERNEL(op_off_diagonal)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0], {
        EACH_IN_ROW(shape, STORE(y + r * n, LOAD(x + r * n)));
        if (r < n)
            y[r * n + r] = 0;
    });
}

/* The interval of limit_norm, and the share of the way that a norm is moved into it. */
typedef struct {
    vec least, most, rate, rest;
    int whole;
} norm_limits;

/* goal / (NORM_EPSILON + norm), by the sum of the squares */
INLINE vec norm_factor(const norm_limits *limits, vec squares)
{
    const vec norm = vec_sqrt(squares);
    vec goal = vec_min(limits->most, vec_max(limits->least, norm));
    if (!limits->whole)
        goal = vec_add(vec_mul(limits->rate, goal), vec_mul(limits->rest, norm));
    return vec_div(goal, vec_add(vec_set1(NORM_EPSILON), norm));
}

/* w[b] times its factor: one row, summed as rows are */
INLINE void limit_row(const norm_limits *limits, const row *shape, real *w_)
{
    vec sum[WIDE];
    wide_set(sum, vec_zero());
    EACH_IN_ROW(*shape, {
        const vec v = LOAD(w_);
        sum[w] = vec_add(sum[w], vec_mul(v, v));
    });
    const vec factor = norm_factor(limits, vec_set1(wide_sum(sum)));
    EACH_IN_ROW(*shape, STORE(w_, vec_mul(LOAD(w_), factor)));
}

/* The same of up to COLUMNS columns of w[b,c], summed in the order of b */
INLINE void limit_columns(const norm_limits *limits, real *w, int64_t b, int64_t c, int64_t columns)
{
    const nn_range range = {0, columns};
    real factor[COLUMNS];
    EACH_VEC_OF(range, STORE(factor, vec_zero()));
    for (int64_t j = 0; j < b; j++)
        EACH_VEC_OF(range, {
            const vec v = LOAD(w + j * c);
            STORE(factor, vec_add(LOAD(factor), vec_mul(v, v)));
        });
    EACH_VEC_OF(range, STORE(factor, norm_factor(limits, LOAD(factor))));
    for (int64_t j = 0; j < b; j++)
        EACH_VEC_OF(range, STORE(w + j * c, vec_mul(LOAD(w + j * c), LOAD(factor))));
}

/* w = w (goal / (NORM_EPSILON + norm)), in place */
KERNEL(op_limit_norm)
{
    const int64_t m = instr->dim[0], b = instr->dim[1], c = instr->dim[2], blocks = (c + COLUMNS - 1) / COLUMNS;
    const double rate = instr->attribute[2];
    const norm_limits limits = {.least = vec_set1((real)instr->attribute[0]), .most = vec_set1((real)instr->attribute[1]),
                                .rate = vec_set1((real)rate), .rest = vec_set1((real)(1 - rate)), .whole = rate == 1};
    const row shape = row_of(b);
    real *w = instr->operand[0];
    if (c == 1)
        EACH_ROW(m, limit_row(&limits, &shape, w + r * b));
    else
        EACH_ROW(m * blocks, {
            const int64_t first = r % blocks * COLUMNS;
            limit_columns(&limits, w + r / blocks * b * c + first, b, c, c - first < COLUMNS ? c - first : COLUMNS);
        });
}

#endif
