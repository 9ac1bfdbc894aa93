/* Random ops: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Bits
   depend on (seed, step, stream, element) alone. */
#ifndef NNCORE_RANDOM_H
#define NNCORE_RANDOM_H

#include "loops.h"
#include "math.h"

enum {
    ROUNDS = 10,
    BLOCKS = 16,        /* drawn together, in the lower halves of as many 64-bit lanes */
    DRAW = 4 * BLOCKS,  /* the elements they serve: a block has 4 words of 32 bits */
    WORDS = LANES / 2,  /* the lanes of a vector of words */
};

/* What the draws of a call have in common: two words of their counters, and the key of every round. */
typedef struct {
    uint64_t step, stream, key[ROUNDS][2];
} random_key;

INLINE random_key random_key_of(uint64_t seed, uint64_t step, uint64_t stream)
{
    random_key k = {.step = (uint32_t)step, .stream = (uint32_t)stream};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        k.key[round][0] = (uint32_t)seed + round * 0x9E3779B9u;
        k.key[round][1] = (uint32_t)(seed >> 32) + round * 0xBB67AE85u;
    }
    return k;
}

/* The lower half of drawn[e]: word e / 16 of block 16 group + e mod 16, with the counter (block, step, stream) */
INLINE void draw(uint64_t drawn[DRAW], const random_key *k, uint64_t group)
{
    uint64_t block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        block[i] = BLOCKS * group + (uint64_t)i;
    for (int first = 0; first < BLOCKS; first += WORDS) {
        words c[4], none = {0};
        memcpy(&c[0], block + first, sizeof c[0]);
        c[1] = c[0] >> 32;
        c[2] = none + k->step;
        c[3] = none + k->stream;
        for (int round = 0; round < ROUNDS; round++) {
            const words a = words_mul(c[0], none + 0xD2511F53u), b = words_mul(c[2], none + 0xCD9E8D57u);
            c[0] = b >> 32 ^ c[1] ^ k->key[round][0];
            c[1] = b;
            c[2] = a >> 32 ^ c[3] ^ k->key[round][1];
            c[3] = a;
        }
        for (int j = 0; j < 4; j++)
            memcpy(drawn + first + j * BLOCKS, &c[j], sizeof c[j]);
    }
}

/* The key of an instruction whose attributes end in its stream and seed, the first of them at `at` */
INLINE random_key instr_key(const nn_instr *instr, const nn_step *step, int at)
{
    return random_key_of(step->seed ^ (uint64_t)instr->attribute[at + 1], step->number, (uint64_t)instr->attribute[at]);
}

/* Dropping: what is kept, by which words, and what it is scaled by. */
typedef struct {
    random_key key;
    uint32_t least;
    real scale;
} dropping;

INLINE dropping dropping_of(const nn_instr *instr, const nn_step *step)
{
    const double rate = instr->attribute[0];
    return (dropping){.key = instr_key(instr, step, 1), .least = rate < 1 ? (uint32_t)(rate * 0x1p32) : 0,
                      .scale = rate < 1 ? (real)(1 / (1 - rate)) : 0};
}

/* kept[e] = scale where word >= rate 2^32, else 0, for the elements of a group */
INLINE void draw_mask(real kept[DRAW], const dropping *d, int64_t group)
{
    uint64_t drawn[DRAW];
    draw(drawn, &d->key, (uint64_t)group);
    for (int e = 0; e < DRAW; e++)
        kept[e] = (uint32_t)drawn[e] >= d->least ? d->scale : 0;
}

/* For every group of DRAW elements of a share of `count`, from `first` on: `group_` is the range of its elements. */
#define EACH_DRAW(count, ...)                                                                                          \
    do {                                                                                                               \
        const nn_range share_ = nn_share(count, DRAW, part, parts);                                                    \
        for (int64_t first = share_.begin; first < share_.end; first += DRAW) {                                        \
            const nn_range group_ = {0, first + DRAW < share_.end ? DRAW : share_.end - first};                        \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)

/* y = x mask, mask = 1 / (1 - rate) where word >= rate 2^32, else 0; y may be x */
KERNEL(op_dropout)
{
    real *y = instr->operand[0], *mask = instr->operand[1];
    const real *x = instr->operand[2];
    const dropping d = dropping_of(instr, step);
    EACH_DRAW(instr->dim[0], {
        real kept[DRAW];
        draw_mask(kept, &d, first / DRAW);
        EACH_VEC_OF(group_, {
            const vec v = LOAD(kept);
            STORE(y + first, vec_mul(LOAD(x + first), v));
            STORE(mask + first, v);
        });
    });
}

/* mask[begin … end - 1], drawn as those elements of a whole mask are */
INLINE void draw_mask_part(real *mask, const dropping *d, int64_t begin, int64_t end)
{
    for (int64_t first = begin / DRAW * DRAW; first < end; first += DRAW) {
        real kept[DRAW];
        draw_mask(kept, d, first / DRAW);
        for (int64_t e = first < begin ? begin : first; e < end && e < first + DRAW; e++)
            mask[e] = kept[e - first];
    }
}

/* y[m,n,k] = x[m,n,k] mask[m,k]; y may be x */
KERNEL(op_spatial_dropout)
{
    const int64_t n = instr->dim[1], k = instr->dim[2];
    const nn_range share = nn_share(instr->dim[0], 1, part, parts), row = {0, k};
    real *y = instr->operand[0], *mask = instr->operand[1];
    const real *x = instr->operand[2];
    const dropping d = dropping_of(instr, step);
    draw_mask_part(mask, &d, share.begin * k, share.end * k);
    for (int64_t r = share.begin * n; r < share.end * n; r++)
        EACH_VEC_OF(row, STORE(y + r * k, vec_mul(LOAD(x + r * k), LOAD(mask + r / n * k))));
}

/* y[m,k] = x[m,k] mask[k]; y may be x. A share is some of the columns. */
KERNEL(op_batch_dropout)
{
    const int64_t m = instr->dim[0], k = instr->dim[1];
    real *y = instr->operand[0], *mask = instr->operand[1];
    const real *x = instr->operand[2];
    const dropping d = dropping_of(instr, step);
    EACH_DRAW(k, {
        draw_mask_part(mask, &d, first, first + group_.end);
        for (int64_t r = 0; r < m; r++)
            EACH_VEC_OF(group_, {
                const int64_t at = r * k + first;
                STORE(y + at, vec_mul(LOAD(x + at), LOAD(mask + first)));
            });
    });
}

/* Normal deviates: Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND7. Products and sums are rounded one by
   one, as in the definition, which gives the same bits. */
static const real CENTER_ABOVE[] = {3.3871327179f, 50.434271938f, 159.29113202f, 59.109374720f};
static const real CENTER_BELOW[] = {1, 17.895169469f, 78.757757664f, 67.187563600f};
static const real TAIL_ABOVE[] = {1.4234372777f, 2.7568153900f, 1.3067284816f, 0.17023821103f};
static const real TAIL_BELOW[] = {1, 0.73700164250f, 0.12021132975f};

#define ROUNDED(p, x) rounded_polynomial(p, (int)(sizeof(p) / sizeof(p)[0]), x)

INLINE vec rounded_polynomial(const real *p, int terms, vec x)
{
    vec y = vec_set1(p[terms - 1]);
    for (int i = terms - 2; i >= 0; i--)
        y = vec_add(vec_mul(y, x), vec_set1(p[i]));
    return y;
}

/* log(x) for normal x < 1 */
INLINE vec rounded_log(vec x)
{
    vec m = vec_mantissa(x), n = vec_exponent(x);
    const vec_cond high = vec_le(vec_set1(1.5f), m);
    m = vec_select(high, vec_mul(m, vec_set1(0.5f)), m);
    n = vec_select(high, vec_add(n, vec_set1(1)), n);
    const vec f = vec_sub(m, vec_set1(1)), f2 = vec_mul(f, f);
    const vec y = vec_add(vec_mul(vec_mul(f, f2), ROUNDED(LOG_TERMS, f)), vec_mul(n, vec_set1(LN2_LO)));
    return vec_add(vec_mul(n, vec_set1(LN2_HI)), vec_add(f, vec_sub(y, vec_mul(vec_set1(0.5f), f2))));
}

/* The deviate whose probability to be exceeded is p, 0 < p <= 1/2 */
INLINE vec normal_beyond(vec p)
{
    const vec q = vec_sub(vec_set1(0.5f), p), r = vec_sub(vec_set1(0.180625f), vec_mul(q, q));
    const vec center = vec_mul(q, vec_div(ROUNDED(CENTER_ABOVE, r), ROUNDED(CENTER_BELOW, r)));
    const vec far = vec_sub(vec_sqrt(vec_neg(rounded_log(p))), vec_set1(1.6f));
    const vec tail = vec_div(ROUNDED(TAIL_ABOVE, far), ROUNDED(TAIL_BELOW, far));
    return vec_select(vec_le(q, vec_set1(0.425f)), center, tail);
}

/* A group of standard normal deviates */
INLINE void draw_normal(real z[DRAW], const random_key *key, int64_t group)
{
    uint64_t drawn[DRAW];
    real p[DRAW], sign[DRAW];
    draw(drawn, key, (uint64_t)group);
    for (int e = 0; e < DRAW; e++) {
        const uint32_t word = (uint32_t)drawn[e];
        p[e] = ((real)(int32_t)(word >> 1) + 0.5f) * 0x1p-32f;
        sign[e] = word & 1 ? -1.0f : 1.0f;
    }
    for (int e = 0; e < DRAW; e += LANES)
        vec_store(z + e, vec_mul(normal_beyond(vec_load(p + e)), vec_load(sign + e)));
}

/* y = x + stddev z; y may be x */
KERNEL(op_gaussian_noise)
{
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    const vec stddev = vec_set1((real)instr->attribute[0]);
    const random_key key = instr_key(instr, step, 1);
    EACH_DRAW(instr->dim[0], {
        real z[DRAW];
        draw_normal(z, &key, first / DRAW);
        EACH_VEC_OF(group_, STORE(y + first, vec_add(LOAD(x + first), vec_mul(stddev, LOAD(z)))));
    });
}

/* y = x mask, mask = 1 + stddev z; y may be x */
KERNEL(op_gaussian_dropout)
{
    real *y = instr->operand[0], *mask = instr->operand[1];
    const real *x = instr->operand[2];
    const vec stddev = vec_set1((real)instr->attribute[0]);
    const random_key key = instr_key(instr, step, 1);
    EACH_DRAW(instr->dim[0], {
        real z[DRAW];
        draw_normal(z, &key, first / DRAW);
        EACH_VEC_OF(group_, {
            const vec v = vec_add(vec_set1(1), vec_mul(stddev, LOAD(z)));
            STORE(y + first, vec_mul(LOAD(x + first), v));
            STORE(mask + first, v);
        });
    });
}

#endif
