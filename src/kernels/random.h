/* Random ops: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Bits
   depend on (seed, step, stream, element) alone. */
#ifndef NNCORE_RANDOM_H
#define NNCORE_RANDOM_H

#include "loops.h"

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

/* y = x mask, mask = 1 / (1 - rate) where word >= rate 2^32, else 0; y may be x */
KERNEL(op_dropout)
{
    real *y = instr->operand[0], *mask = instr->operand[1];
    const real *x = instr->operand[2];
    const double rate = instr->attribute[0];
    const random_key k = random_key_of(step->seed ^ (uint64_t)instr->attribute[2], step->number,
                                       (uint64_t)instr->attribute[1]);
    const uint32_t least = rate < 1 ? (uint32_t)(rate * 0x1p32) : 0;
    const real scale = rate < 1 ? (real)(1 / (1 - rate)) : 0;
    const nn_range share = nn_share(instr->dim[0], DRAW, part, parts);
    for (int64_t first = share.begin; first < share.end; first += DRAW) {
        const nn_range group = {0, first + DRAW < share.end ? DRAW : share.end - first};
        uint64_t drawn[DRAW];
        real kept[DRAW];
        draw(drawn, &k, (uint64_t)first / DRAW);
        for (int e = 0; e < DRAW; e++)
            kept[e] = (uint32_t)drawn[e] >= least ? scale : 0;
        EACH_VEC_OF(group, {
            const vec v = LOAD(kept);
            STORE(y + first, vec_mul(LOAD(x + first), v));
            STORE(mask + first, v);
        });
    }
}

#endif
