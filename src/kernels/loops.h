/* The loops of the kernels, over vectors with a masked end, written once: over elements, over rows, and over the
   elements of a row. Their last argument is the statements to run for each.

   In those statements i is the index of the vector's first element, and
     LOAD(p)        elements i, i + 1, … of p, 0 beyond the end
     STORE(p, v)    writes them, and nothing beyond the end
     KEEP(v, rest)  v, with `rest` in the lanes beyond the end */
#ifndef NNCORE_LOOPS_H
#define NNCORE_LOOPS_H

#include "../vec.h"

#define KERNEL(name) static void name(const nn_instr *instr, const nn_step *step, int part, int parts)

#define LOAD(p) (TAIL ? vec_load_first((p) + i, mask_) : vec_load((p) + i))
#define STORE(p, v) (TAIL ? vec_store_first((p) + i, mask_, v) : vec_store((p) + i, v))
#define KEEP(v, rest) (TAIL ? vec_select(keep_, v, rest) : (v))

/* The statements for the vector at index `at`, masked where `tail`. */
#define AT_VEC(at, tail, first_lanes, in_first_lanes, ...)                                                             \
    {                                                                                                                  \
        enum { TAIL = tail };                                                                                          \
        const int64_t i = at;                                                                                          \
        const vec_mask mask_ = first_lanes;                                                                            \
        const vec_cond keep_ = in_first_lanes;                                                                         \
        (void)i, (void)mask_, (void)keep_;                                                                             \
        __VA_ARGS__;                                                                                                   \
    }

/* For every vector of a range of elements. */
#define EACH_VEC_OF(range, ...)                                                                                        \
    do {                                                                                                               \
        const nn_range range_ = range;                                                                                 \
        const int64_t whole_ = range_.begin + (range_.end - range_.begin) / LANES * LANES;                             \
        const int left_ = (int)(range_.end - whole_);                                                                  \
        for (int64_t at_ = range_.begin; at_ < whole_; at_ += LANES)                                                   \
            AT_VEC(at_, 0, vec_mask_first(LANES), vec_cond_first(LANES), __VA_ARGS__)                                  \
        if (left_ > 0)                                                                                                 \
            AT_VEC(whole_, 1, vec_mask_first(left_), vec_cond_first(left_), __VA_ARGS__)                               \
    } while (0)

/* For every vector of this share of `count` elements. Shares begin at multiples of 16 elements. */
#define EACH_VEC(count, ...)                                                                                           \
    do {                                                                                                               \
        (void)step;                                                                                                    \
        EACH_VEC_OF(nn_share(count, 16, part, parts), __VA_ARGS__);                                                    \
    } while (0)

/* For every row r of this share of `count` rows. */
#define EACH_ROW(count, ...)                                                                                           \
    do {                                                                                                               \
        (void)step;                                                                                                    \
        const nn_range share_ = nn_share(count, 1, part, parts);                                                       \
        for (int64_t r = share_.begin; r < share_.end; r++) {                                                          \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)

/* A row of n elements: `whole` of them in groups of 16, and the masks of the WIDE vectors of the group that is cut. */
typedef struct {
    int64_t n, whole;
    vec_mask mask[WIDE];
    vec_cond keep[WIDE];
} row;

INLINE row row_of(int64_t n)
{
    row shape = {.n = n, .whole = n / 16 * 16};
    for (int w = 0; w < WIDE; w++) {
        const int left = (int)(n - shape.whole) - w * LANES, lanes = left < 0 ? 0 : left > LANES ? LANES : left;
        shape.mask[w] = vec_mask_first(lanes);
        shape.keep[w] = vec_cond_first(lanes);
    }
    return shape;
}

/* For every vector of a row of that shape, in groups of 16 elements; w counts the vectors of a group. A sum over the
   row keeps 16 partial sums, element j going to sum j mod 16 in order, in a vec[WIDE], and ends in wide_sum. */
#define EACH_IN_ROW(shape, ...)                                                                                        \
    do {                                                                                                               \
        for (int64_t at_ = 0; at_ < (shape).whole; at_ += 16)                                                          \
            for (int w = 0; w < WIDE; w++)                                                                             \
                AT_VEC(at_ + w * LANES, 0, (shape).mask[w], (shape).keep[w], __VA_ARGS__)                              \
        if ((shape).whole < (shape).n)                                                                                 \
            for (int w = 0; w < WIDE; w++)                                                                             \
                AT_VEC((shape).whole + w * LANES, 1, (shape).mask[w], (shape).keep[w], __VA_ARGS__)                    \
    } while (0)

INLINE void wide_set(vec v[WIDE], vec value)
{
    for (int w = 0; w < WIDE; w++)
        v[w] = value;
}

/* y[m] = sum_n f(p[m,n], t[m,n]) / divisor. Where n is 1 the rows are one vector, and the divisor 1. */
#define ROW_SUM(f, divisor)                                                                                            \
    const int64_t n = instr->dim[1];                                                                                   \
    const row shape = row_of(n);                                                                                       \
    real *y = instr->operand[0];                                                                                       \
    const real *p = instr->operand[1], *t = instr->operand[2];                                                         \
    if (n == 1)                                                                                                        \
        EACH_VEC(instr->dim[0], STORE(y, f(LOAD(p), LOAD(t))));                                                        \
    else                                                                                                               \
        EACH_ROW(instr->dim[0], {                                                                                      \
            vec sum[WIDE];                                                                                             \
            wide_set(sum, vec_zero());                                                                                 \
            EACH_IN_ROW(shape, {                                                                                       \
                const vec term = f(LOAD(p + r * n), LOAD(t + r * n));                                                  \
                sum[w] = vec_add(sum[w], KEEP(term, vec_zero()));                                                      \
            });                                                                                                        \
            y[r] = wide_sum(sum) / (divisor);                                                                          \
        })

/* y[m] = mean_n f(p[m,n], t[m,n]) */
#define ROW_MEAN(f) ROW_SUM(f, (real)n)

#endif
