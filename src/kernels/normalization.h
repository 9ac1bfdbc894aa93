/* Normalization. Statistics of columns, of m rows: each sum goes over blocks of rows, the rows of a block in order, then
   the blocks. Statistics of rows: the sums of loops.h. */
#ifndef NNCORE_NORMALIZATION_H
#define NNCORE_NORMALIZATION_H

#include "gemm.h"
#include "loops.h"

enum {
    STRIP_VECS = 4,        /* vectors of columns that a pass over the rows takes with it */
    SUMMED_ROWS = 256,     /* in a block */
    REPEATED_COLUMNS = 64, /* of so many columns or fewer, factors are repeated to so many reals, for whole vectors */
};

/* Calls strip(vecs, instr, j, mask) for all columns of this share of `count`: `vecs` vectors from column j on, the last
   one masked. */
#define EACH_STRIP(count, strip)                                                                                       \
    do {                                                                                                               \
        (void)step;                                                                                                    \
        const nn_range share_ = nn_share(count, 16, part, parts);                                                      \
        for (int64_t j_ = share_.begin; j_ < share_.end;) {                                                            \
            const int vecs_ = share_.end - j_ > (STRIP_VECS - 1) * LANES ? STRIP_VECS : 1;                             \
            const int64_t last_ = share_.end - j_ - (vecs_ - 1) * LANES;                                               \
            const vec_mask mask_ = vec_mask_first(last_ < LANES ? (int)last_ : LANES);                                 \
            if (vecs_ == STRIP_VECS)                                                                                   \
                strip(STRIP_VECS, instr, j_, mask_);                                                                   \
            else                                                                                                       \
                strip(1, instr, j_, mask_);                                                                            \
            j_ += vecs_ * LANES;                                                                                       \
        }                                                                                                              \
    } while (0)

/* In a strip: the statements for each of its vectors, v. */
#define EACH_STRIP_VEC(...) UNROLL for (int v = 0; v < vecs; v++) { __VA_ARGS__; }

/* There: vector v of a vector over columns, p[j…], or of row r of a matrix. */
#define COLUMNS(p) load_in_tile((p) + j, v, v == vecs - 1, mask)
#define AT_ROW(p) load_in_tile((p) + r * columns + j, v, v == vecs - 1, mask)
#define STORE_COLUMNS(p, value) store_in_tile((p) + j, v, v == vecs - 1, mask, value)
#define STORE_AT_ROW(p, value) store_in_tile((p) + r * columns + j, v, v == vecs - 1, mask, value)

/* There: sum[v] = sum_r term over m rows. */
#define SUM_ROWS(sum, m, term)                                                                                         \
    do {                                                                                                               \
        EACH_STRIP_VEC((sum)[v] = vec_zero())                                                                          \
        for (int64_t first_ = 0; first_ < (m); first_ += SUMMED_ROWS) {                                                \
            const int64_t end_ = (m) - first_ < SUMMED_ROWS ? (m) : first_ + SUMMED_ROWS;                              \
            vec block_[STRIP_VECS];                                                                                    \
            EACH_STRIP_VEC(block_[v] = vec_zero())                                                                     \
            for (int64_t r = first_; r < end_; r++)                                                                    \
                EACH_STRIP_VEC(block_[v] = vec_add(block_[v], term))                                                   \
            EACH_STRIP_VEC((sum)[v] = vec_add((sum)[v], block_[v]))                                                    \
        }                                                                                                              \
    } while (0)

INLINE vec square(vec a) { return vec_mul(a, a); }

/* ---- Channels over the rows of a batch. */

INLINE void batch_norm_strip(const int vecs, const nn_instr *instr, int64_t j, vec_mask mask)
{
    const int64_t m = instr->dim[0], columns = instr->dim[1];
    real *y = instr->operand[0], *mean = instr->operand[1], *variance = instr->operand[2];
    const real *x = instr->operand[3], *gamma = instr->operand[4], *beta = instr->operand[5];
    const vec count = vec_set1((real)m), epsilon = vec_set1((real)instr->attribute[0]);
    vec center[STRIP_VECS], factor[STRIP_VECS], offset[STRIP_VECS];
    SUM_ROWS(center, m, AT_ROW(x));
    EACH_STRIP_VEC(center[v] = vec_div(center[v], count))
    SUM_ROWS(factor, m, square(vec_sub(AT_ROW(x), center[v])));
    EACH_STRIP_VEC({
        const vec spread = vec_div(factor[v], count);
        STORE_COLUMNS(mean, center[v]);
        STORE_COLUMNS(variance, spread);
        factor[v] = vec_div(gamma ? COLUMNS(gamma) : vec_set1(1), vec_sqrt(vec_add(spread, epsilon)));
        offset[v] = beta ? COLUMNS(beta) : vec_zero();
    })
    for (int64_t r = 0; r < m; r++)
        EACH_STRIP_VEC(STORE_AT_ROW(y, vec_add(vec_mul(vec_sub(AT_ROW(x), center[v]), factor[v]), offset[v])))
}

/* y[m,c] = (x - mean) (gamma / sqrt(variance + epsilon)) + beta, with mean[c] and variance[c] over m; y may be x */
KERNEL(op_batch_norm) { EACH_STRIP(instr->dim[1], batch_norm_strip); }

INLINE void batch_norm_grad_w_strip(const int vecs, const nn_instr *instr, int64_t j, vec_mask mask)
{
    const int64_t m = instr->dim[0], columns = instr->dim[1];
    real *dgamma = instr->operand[0], *dbeta = instr->operand[1];
    const real *dy = instr->operand[2], *x = instr->operand[3], *mean = instr->operand[4], *variance = instr->operand[5];
    const vec epsilon = vec_set1((real)instr->attribute[0]);
    vec center[STRIP_VECS], sum[STRIP_VECS];
    EACH_STRIP_VEC(center[v] = COLUMNS(mean))
    SUM_ROWS(sum, m, vec_mul(AT_ROW(dy), vec_sub(AT_ROW(x), center[v])));
    EACH_STRIP_VEC(STORE_COLUMNS(dgamma, vec_div(sum[v], vec_sqrt(vec_add(COLUMNS(variance), epsilon)))))
    SUM_ROWS(sum, m, AT_ROW(dy));
    EACH_STRIP_VEC(STORE_COLUMNS(dbeta, sum[v]))
}

/* dgamma[c] = (sum_m dy (x - mean)) / sqrt(variance + epsilon), dbeta[c] = sum_m dy */
KERNEL(op_batch_norm_grad_w) { EACH_STRIP(instr->dim[1], batch_norm_grad_w_strip); }

INLINE void batch_norm_grad_x_strip(const int vecs, const nn_instr *instr, int64_t j, vec_mask mask)
{
    const int64_t m = instr->dim[0], columns = instr->dim[1];
    real *dx = instr->operand[0];
    const real *dy = instr->operand[1], *x = instr->operand[2], *gamma = instr->operand[3], *mean = instr->operand[4];
    const real *variance = instr->operand[5], *dgamma = instr->operand[6], *dbeta = instr->operand[7];
    const vec count = vec_set1((real)m), epsilon = vec_set1((real)instr->attribute[0]);
    vec center[STRIP_VECS], factor[STRIP_VECS], level[STRIP_VECS], slope[STRIP_VECS];
    EACH_STRIP_VEC({
        const vec deviation = vec_sqrt(vec_add(COLUMNS(variance), epsilon));
        center[v] = COLUMNS(mean);
        factor[v] = vec_div(gamma ? COLUMNS(gamma) : vec_set1(1), deviation);
        level[v] = vec_div(COLUMNS(dbeta), count);
        slope[v] = vec_div(vec_div(COLUMNS(dgamma), count), deviation);
    })
    for (int64_t r = 0; r < m; r++)
        EACH_STRIP_VEC({
            const vec along = vec_mul(vec_sub(AT_ROW(x), center[v]), slope[v]);
            STORE_AT_ROW(dx, vec_mul(vec_sub(vec_sub(AT_ROW(dy), level[v]), along), factor[v]));
        })
}

/* dx[m,c] = gamma / s (dy - dbeta / m - (x - mean) (dgamma / m / s)) with s = sqrt(variance + epsilon); dx may be dy
   or x */
KERNEL(op_batch_norm_grad_x) { EACH_STRIP(instr->dim[1], batch_norm_grad_x_strip); }

/* average[c] = average momentum + value (1 - momentum) */
KERNEL(op_moving_average)
{
    const vec momentum = vec_set1((real)instr->attribute[0]), rest = vec_set1((real)(1 - instr->attribute[0]));
    real *average = instr->operand[0];
    const real *value = instr->operand[2];
    EACH_VEC(instr->dim[0], STORE(average, vec_add(vec_mul(LOAD(average), momentum), vec_mul(LOAD(value), rest))));
}

/* ---- By given factors, one a column. */

/* factor[n] = gamma / max(sqrt(variance + epsilon), least) */
KERNEL(op_inverse_deviation)
{
    const vec epsilon = vec_set1((real)instr->attribute[0]), least = vec_set1((real)instr->attribute[1]);
    real *factor = instr->operand[0];
    const real *variance = instr->operand[1], *gamma = instr->operand[2];
    EACH_VEC(instr->dim[0], {
        const vec deviation = vec_max(least, vec_sqrt(vec_add(LOAD(variance), epsilon)));
        STORE(factor, vec_div(gamma ? LOAD(gamma) : vec_set1(1), deviation));
    });
}

/* `from`, or `times` copies of its n reals in `copies`; NULL stays NULL */
INLINE const real *repeated(real *copies, const real *from, int64_t n, int64_t times)
{
    if (times < 2 || from == NULL)
        return from;
    for (int64_t i = 0; i < n * times; i++)
        copies[i] = from[i % n];
    return copies;
}

/* y[m,n] = (x - shift) scale + offset, what is NULL left out; y may be x */
KERNEL(op_affine)
{
    (void)step;
    const int64_t n = instr->dim[1], times = n > 0 && n < REPEATED_COLUMNS ? REPEATED_COLUMNS / n : 1;
    const nn_range rows = nn_share(instr->dim[0], 1, part, parts);
    real copies[3][REPEATED_COLUMNS];
    const real *shift = repeated(copies[0], instr->operand[2], n, times);
    const real *scale = repeated(copies[1], instr->operand[3], n, times);
    const real *offset = repeated(copies[2], instr->operand[4], n, times);
    for (int64_t r = rows.begin; r < rows.end; r += times) {
        const int64_t taken = rows.end - r < times ? rows.end - r : times;
        real *y = (real *)instr->operand[0] + r * n;
        const real *x = (const real *)instr->operand[1] + r * n;
        EACH_VEC_OF(((nn_range){0, taken * n}), {
            vec value = LOAD(x);
            if (shift)
                value = vec_sub(value, LOAD(shift));
            if (scale)
                value = vec_mul(value, LOAD(scale));
            if (offset)
                value = vec_add(value, LOAD(offset));
            STORE(y, value);
        });
    }
}

INLINE void affine_grad_scale_strip(const int vecs, const nn_instr *instr, int64_t j, vec_mask mask)
{
    const int64_t m = instr->dim[0], columns = instr->dim[1];
    real *dscale = instr->operand[0];
    const real *dy = instr->operand[1], *x = instr->operand[2], *shift = instr->operand[3];
    vec away[STRIP_VECS], sum[STRIP_VECS];
    EACH_STRIP_VEC(away[v] = shift ? COLUMNS(shift) : vec_zero())
    SUM_ROWS(sum, m, vec_mul(AT_ROW(dy), vec_sub(AT_ROW(x), away[v])));
    EACH_STRIP_VEC(STORE_COLUMNS(dscale, sum[v]))
}

/* dscale[n] = sum_m dy (x - shift) */
KERNEL(op_affine_grad_scale) { EACH_STRIP(instr->dim[1], affine_grad_scale_strip); }

/* ---- Rows over their own values. */

/* 1 / sqrt(total / n + epsilon) */
INLINE real inverse_of(real total, int64_t n, real epsilon)
{
    return vec_first(vec_div(vec_set1(1), vec_sqrt(vec_set1(total / (real)n + epsilon))));
}

/* y[m,n] = (x - mean) factor gamma + beta, factor[m] = 1 / sqrt(variance + epsilon), with mean[m] and variance over n;
   y may be x */
KERNEL(op_layer_norm)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real epsilon = (real)instr->attribute[0], *gamma = instr->operand[4], *beta = instr->operand[5];
    real *mean = instr->operand[1], *factor = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * n;
        const real *x = (const real *)instr->operand[3] + r * n;
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], LOAD(x)));
        mean[r] = wide_sum(sum) / (real)n;
        const vec center = vec_set1(mean[r]);
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], square(KEEP(vec_sub(LOAD(x), center), vec_zero()))));
        factor[r] = inverse_of(wide_sum(sum), n, epsilon);
        const vec inverse = vec_set1(factor[r]);
        EACH_IN_ROW(shape, {
            vec value = vec_mul(vec_sub(LOAD(x), center), inverse);
            if (gamma)
                value = vec_mul(value, LOAD(gamma));
            if (beta)
                value = vec_add(value, LOAD(beta));
            STORE(y, value);
        });
    });
}

/* y[m,n] = x factor gamma, factor[m] = 1 / sqrt(mean_n x² + epsilon); y may be x */
KERNEL(op_rms_norm)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real epsilon = (real)instr->attribute[0], *gamma = instr->operand[3];
    real *factor = instr->operand[1];
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * n;
        const real *x = (const real *)instr->operand[2] + r * n;
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], square(LOAD(x))));
        factor[r] = inverse_of(wide_sum(sum), n, epsilon);
        const vec inverse = vec_set1(factor[r]);
        EACH_IN_ROW(shape, STORE(y, vec_mul(vec_mul(LOAD(x), inverse), LOAD(gamma))));
    });
}

/* dx = factor (g - mean_n g - h mean_n(g h)) of a row, with g = dy gamma and h = (x - center) factor; mean_n g only where
   centered */
INLINE void norm_grad_of_row(
    const int centered, real *dx, const real *dy, const real *x, const real *gamma, real center, real factor,
    const row *shape)
{
    const vec middle = vec_set1(center), inverse = vec_set1(factor);
    vec level[WIDE], along[WIDE];
    wide_set(level, vec_zero());
    wide_set(along, vec_zero());
#define G (gamma ? vec_mul(LOAD(dy), LOAD(gamma)) : LOAD(dy))
#define H vec_mul(centered ? vec_sub(LOAD(x), middle) : LOAD(x), inverse)
    EACH_IN_ROW(*shape, {
        const vec g = G;
        level[w] = vec_add(level[w], g);
        along[w] = vec_add(along[w], KEEP(vec_mul(g, H), vec_zero()));
    });
    const vec flat = vec_set1(wide_sum(level) / (real)shape->n), slope = vec_set1(wide_sum(along) / (real)shape->n);
    EACH_IN_ROW(*shape, {
        const vec g = centered ? vec_sub(G, flat) : G;
        STORE(dx, vec_mul(vec_sub(g, vec_mul(H, slope)), inverse));
    });
#undef G
#undef H
}

/* dx[m,n] = factor (g - mean_n g - h mean_n(g h)) with g = dy gamma and h = (x - mean) factor; dx may be dy or x */
KERNEL(op_layer_norm_grad_x)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real *dy = instr->operand[1], *x = instr->operand[2], *gamma = instr->operand[3];
    const real *mean = instr->operand[4], *factor = instr->operand[5];
    real *dx = instr->operand[0];
    EACH_ROW(instr->dim[0],
             norm_grad_of_row(1, dx + r * n, dy + r * n, x + r * n, gamma, mean[r], factor[r], &shape));
}

/* dx[m,n] = factor (g - h mean_n(g h)) with g = dy gamma and h = x factor; dx may be dy or x */
KERNEL(op_rms_norm_grad_x)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real *dy = instr->operand[1], *x = instr->operand[2], *gamma = instr->operand[3], *factor = instr->operand[4];
    real *dx = instr->operand[0];
    EACH_ROW(instr->dim[0], norm_grad_of_row(0, dx + r * n, dy + r * n, x + r * n, gamma, 0, factor[r], &shape));
}

INLINE void row_norm_grad_w_strip(const int vecs, const nn_instr *instr, int64_t j, vec_mask mask)
{
    const int64_t m = instr->dim[0], columns = instr->dim[1];
    real *dgamma = instr->operand[0];
    const real *dy = instr->operand[1], *x = instr->operand[2], *mean = instr->operand[3], *factor = instr->operand[4];
    vec sum[STRIP_VECS];
#define CENTER vec_set1(mean ? mean[r] : 0)
    SUM_ROWS(sum, m, vec_mul(AT_ROW(dy), vec_mul(vec_sub(AT_ROW(x), CENTER), vec_set1(factor[r]))));
#undef CENTER
    EACH_STRIP_VEC(STORE_COLUMNS(dgamma, sum[v]))
}

/* dgamma[n] = sum_m dy ((x - mean) factor) */
KERNEL(op_row_norm_grad_w) { EACH_STRIP(instr->dim[1], row_norm_grad_w_strip); }

static const real UNIT_LIMIT = (real)1e12;

/* y[m,n] = x factor, factor[m] = min(1 / sqrt(sum_n x²), UNIT_LIMIT); y may be x */
KERNEL(op_unit_norm)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    real *factor = instr->operand[1];
    EACH_ROW(instr->dim[0], {
        real *y = (real *)instr->operand[0] + r * n;
        const real *x = (const real *)instr->operand[2] + r * n;
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], square(LOAD(x))));
        const vec inverse = vec_min(vec_set1(UNIT_LIMIT), vec_set1(inverse_of(wide_sum(sum), 1, 0)));
        factor[r] = vec_first(inverse);
        EACH_IN_ROW(shape, STORE(y, vec_mul(LOAD(x), inverse)));
    });
}

/* dx[m,n] = factor (dy - y sum_n(dy y)), factor dy where factor is UNIT_LIMIT; dx may be dy or y */
KERNEL(op_unit_norm_grad)
{
    const int64_t n = instr->dim[1];
    const row shape = row_of(n);
    const real *factor = instr->operand[3];
    EACH_ROW(instr->dim[0], {
        real *dx = (real *)instr->operand[0] + r * n;
        const real *dy = (const real *)instr->operand[1] + r * n, *y = (const real *)instr->operand[2] + r * n;
        const vec inverse = vec_set1(factor[r]);
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, sum[w] = vec_add(sum[w], vec_mul(LOAD(dy), LOAD(y))));
        const vec along = vec_set1(wide_sum(sum));
        if (factor[r] == UNIT_LIMIT)
            EACH_IN_ROW(shape, STORE(dx, vec_mul(LOAD(dy), inverse)));
        else
            EACH_IN_ROW(shape, STORE(dx, vec_mul(vec_sub(LOAD(dy), vec_mul(LOAD(y), along)), inverse)));
    });
}

#endif
