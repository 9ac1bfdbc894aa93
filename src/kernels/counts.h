/* Sums over a batch that metrics keep, in float64 and in the order of the rows; and what classifies values for them. */
#ifndef NNCORE_COUNTS_H
#define NNCORE_COUNTS_H

#include "metrics.h"

#define NOT_KEPT ((real)-1e10)

/* How many of the first t - 1 thresholds, ascending, are below p */
INLINE int64_t below(real p, const double *thresholds, int64_t t)
{
    int64_t low = 0, high = t - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if ((real)thresholds[middle] < p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same for thresholds spaced evenly over [0, 1]: ceil(p (t - 2)), p limited to [0, 1], at least `least` */
INLINE int64_t below_even(real p, int64_t t, int64_t least)
{
    const real x = (p < 0 ? 0 : p > 1 ? 1 : p) * (real)(t - 2);
    const int64_t whole = (int64_t)x, index = whole + (x > (real)whole);
    return index < least ? least : index;
}

/* positives[c,i] += weight[m,n] column_weight[n] where t != 0, else negatives[c,i]; i thresholds are below p[m,n].
   Share 0 does all of it. */
KERNEL(op_add_confusion)
{
    (void)step, (void)parts;
    if (part > 0)
        return;
    const int64_t m = instr->dim[0], n = instr->dim[1], t = instr->dim[2], stride = instr->dim[3] > 1 ? t : 0;
    double *positives = instr->operand[0], *negatives = instr->operand[1];
    const real *p = instr->operand[2], *target = instr->operand[3], *weight = instr->operand[4];
    const double *column_weight = instr->operand[5], *thresholds = instr->operand[6];
    const int even = instr->attribute[1] != 0;
    const int64_t least = (int64_t)instr->attribute[2];
    for (int64_t r = 0; r < m; r++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t i = r * n + j;
            real value = weight ? weight[i] : 1;
            if (column_weight)
                value *= (real)column_weight[j];
            int64_t at = j * stride;
            if (p[i] == p[i])
                at += even ? below_even(p[i], t, least) : below(p[i], thresholds, t);
            double *total = target[i] != 0 ? positives : negatives;
            total[at] += value;
        }
}

/* total[label,predicted] += weight[m] for labels within [0, c) that are not `ignore`. Share 0 does all of it. */
KERNEL(op_add_pairs)
{
    (void)step, (void)parts;
    if (part > 0)
        return;
    const int64_t c = instr->dim[1];
    double *total = instr->operand[0];
    const int32_t *label = instr->operand[1], *predicted = instr->operand[2];
    const real *weight = instr->operand[3];
    const double ignore = instr->attribute[1];
    const int whole = instr->attribute[2] != 0;
    for (int64_t r = 0; r < instr->dim[0]; r++) {
        if (label[r] < 0 || label[r] >= c || predicted[r] < 0 || predicted[r] >= c || label[r] == ignore)
            continue;
        const double value = weight ? weight[r] : 1;
        total[label[r] * c + predicted[r]] += whole ? trunc(value) : value;
    }
}

/* total[n] += sum_m x y weight[m], the products in double; shares take columns */
KERNEL(op_add_products)
{
    (void)step;
    const int64_t n = instr->dim[1];
    const nn_range columns = nn_share(n, 16, part, parts);
    double *total = instr->operand[0];
    const real *x = instr->operand[1], *y = instr->operand[2], *weight = instr->operand[3];
    for (int64_t r = 0; r < instr->dim[0]; r++)
        for (int64_t j = columns.begin; j < columns.end; j++) {
            double product = x[r * n + j];
            if (y)
                product *= y[r * n + j];
            if (weight)
                product *= weight[r];
            total[j] += product;
        }
}

/* index[m] = where the row of x[m,n] is largest */
KERNEL(op_argmax)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    int32_t *index = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0], index[r] = (int32_t)argmax(&shape, x + r * n));
}

/* label[m] = x[m] rounded towards 0, -1 where that is no int32 */
KERNEL(op_as_labels)
{
    int32_t *label = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0], {
        const int fits = x[r] >= (real)-2147483648.0 && x[r] < (real)2147483648.0;
        label[r] = fits ? (int32_t)x[r] : -1;
    });
}

/* y[m] = x[m,index] */
KERNEL(op_column)
{
    const int64_t n = instr->dim[1], index = (int64_t)instr->attribute[0];
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0], y[r] = x[r * n + index]);
}

/* y[m] = x > threshold; y may be x */
KERNEL(op_exceeds)
{
    const vec threshold = vec_set1((real)instr->attribute[0]), one = vec_set1(1), none = vec_zero();
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_VEC(instr->dim[0], STORE(y, vec_select(vec_lt(threshold, LOAD(x)), one, none)));
}

/* y[m,n] = x >= max_n x and |x| > 1e-9; 0 in a row with NaN */
KERNEL(op_row_maxima)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const vec least = vec_set1((real)1e-9), one = vec_set1(1), none = vec_zero();
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * n;
        const real *x = (const real *)instr->operand[1] + r * n;
        const real largest = x[argmax(&shape, x)];
        const vec top = vec_set1(largest);
        EACH_IN_ROW(shape, {
            const vec v = LOAD(x), large = vec_select(vec_lt(least, vec_abs(v)), one, none);
            STORE(y, largest == largest ? vec_select(vec_lt(v, top), none, large) : none);
        });
    });
}

/* y[m,n] = x for the k largest of a row, the first of equals first; NOT_KEPT for the others and NaN */
KERNEL(op_keep_top_k)
{
    const int64_t n = instr->dim[1];
    const double k = instr->attribute[0];
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * n;
        const real *x = (const real *)instr->operand[1] + r * n;
        int64_t last = -1;
        for (int64_t j = 0; j < n; j++)
            y[j] = NOT_KEPT;
        for (int64_t found = 0; found < k && found < n; found++) {
            int64_t next = -1;
            for (int64_t j = 0; j < n; j++) {
                const int after = last < 0 || x[j] < x[last] || (x[j] == x[last] && j > last);
                if (x[j] == x[j] && after && (next < 0 || x[j] > x[next]))
                    next = j;
            }
            if (next < 0)
                break;
            y[next] = x[next];
            last = next;
        }
    });
}

/* match[m] = 1 where fewer than k of the row are larger than p[label] */
KERNEL(op_top_k_matches)
{
    const int64_t n = instr->dim[1];
    const double k = instr->attribute[0];
    real *match = instr->operand[0];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n;
        const real chosen = p[label[r]];
        int64_t larger = 0;
        for (int64_t j = 0; j < n; j++)
            larger += !(p[j] <= chosen);
        match[r] = chosen == chosen && larger < k;
    });
}

/* match[m] = 1 where one of the row's first k values is the label */
KERNEL(op_listed_matches)
{
    const int64_t n = instr->dim[1];
    const double k = instr->attribute[0];
    real *match = instr->operand[0];
    const int32_t *label = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n;
        int found = 0;
        for (int64_t j = 0; j < n && j < k; j++)
            found |= p[j] == label[r];
        match[r] = (real)found;
    });
}

/* match[m] = mean_n (p == t) */
KERNEL(op_equal_matches)
{
    const vec one = vec_set1(1), none = vec_zero();
#define MATCH(p, t) vec_select(vec_eq(p, t), one, none)
    ROW_MEAN(MATCH);
#undef MATCH
}

/* The mean over a row of an expression of LOAD */
#define MEAN_IN_ROW(result, shape, term)                                                                               \
    do {                                                                                                               \
        vec sum_[WIDE];                                                                                                \
        wide_set(sum_, vec_zero());                                                                                    \
        EACH_IN_ROW(shape, sum_[w] = vec_add(sum_[w], KEEP(term, vec_zero())));                                        \
        result = vec_set1(wide_sum(sum_) / (real)(shape).n);                                                           \
    } while (0)

INLINE vec squared(vec v) { return vec_mul(v, v); }

/* r[m] = mean_n (p - mean p) / std p (t - mean t) / std t */
KERNEL(op_pearson)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *result = instr->operand[0];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n;
        const real *t = (const real *)instr->operand[2] + r * n;
        vec p_mean, t_mean, p_var, t_var, product;
        MEAN_IN_ROW(p_mean, shape, LOAD(p));
        MEAN_IN_ROW(t_mean, shape, LOAD(t));
        MEAN_IN_ROW(p_var, shape, squared(vec_sub(LOAD(p), p_mean)));
        MEAN_IN_ROW(t_var, shape, squared(vec_sub(LOAD(t), t_mean)));
        const vec p_std = vec_sqrt(p_var), t_std = vec_sqrt(t_var);
        MEAN_IN_ROW(product, shape,
                    vec_mul(vec_div(vec_sub(LOAD(p), p_mean), p_std), vec_div(vec_sub(LOAD(t), t_mean), t_std)));
        result[r] = vec_first(product);
    });
}

/* r[m] = 2 mean_n (t - mean p) (p - mean p) / (var p + var t + (mean t - mean p)^2 + 1e-7) */
KERNEL(op_concordance)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *result = instr->operand[0];
    EACH_ROW(instr->dim[0], {
        const real *p = (const real *)instr->operand[1] + r * n;
        const real *t = (const real *)instr->operand[2] + r * n;
        vec p_mean, t_mean, p_var, t_var, product;
        MEAN_IN_ROW(p_mean, shape, LOAD(p));
        MEAN_IN_ROW(t_mean, shape, LOAD(t));
        MEAN_IN_ROW(p_var, shape, squared(vec_sub(LOAD(p), p_mean)));
        MEAN_IN_ROW(t_var, shape, squared(vec_sub(LOAD(t), t_mean)));
        MEAN_IN_ROW(product, shape, vec_mul(vec_sub(LOAD(t), p_mean), vec_sub(LOAD(p), p_mean)));
        const vec apart = vec_add(vec_add(p_var, t_var), squared(vec_sub(t_mean, p_mean)));
        result[r] = vec_first(vec_div(vec_mul(vec_set1(2), product), vec_add(apart, vec_set1((real)1e-7))));
    });
}

#endif
