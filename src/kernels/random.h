/* Random ops: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), 16 blocks side by side. Bits depend on (seed, step,
   stream, element) alone. */
#ifndef NNCORE_RANDOM_H
#define NNCORE_RANDOM_H

#include "loops.h"

enum { DRAW = 64 }; /* elements drawn together: 16 blocks of 4 words, word j of the 16 blocks for 16 neighbours */

/* What the counters and the key of a draw have in common. */
typedef struct {
    uint32_t step, stream, key[2];
} random_key;

/* words[e], e < 64: word e / 16 of the block 16 group + e mod 16 */
INLINE void draw(uint32_t words[DRAW], random_key k, uint64_t group)
{
    uint32_t c0[16], c1[16], c2[16], c3[16];
    for (int i = 0; i < 16; i++) {
        c0[i] = (uint32_t)(16 * group) + (uint32_t)i;
        c1[i] = (uint32_t)(16 * group >> 32);
        c2[i] = k.step;
        c3[i] = k.stream;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 16; i++) {
            const uint64_t a = (uint64_t)c0[i] * 0xD2511F53u, b = (uint64_t)c2[i] * 0xCD9E8D57u;
            c0[i] = (uint32_t)(b >> 32) ^ c1[i] ^ k.key[0];
            c1[i] = (uint32_t)b;
            c2[i] = (uint32_t)(a >> 32) ^ c3[i] ^ k.key[1];
            c3[i] = (uint32_t)a;
        }
        k.key[0] += 0x9E3779B9u;
        k.key[1] += 0xBB67AE85u;
    }
    for (int i = 0; i < 16; i++) {
        words[i] = c0[i];
        words[16 + i] = c1[i];
        words[32 + i] = c2[i];
        words[48 + i] = c3[i];
    }
}

/* y = x mask, mask = 1 / (1 - rate) where word >= rate 2^32, else 0; y may be x */
KERNEL(op_dropout)
{
    real *y = instr->operand[0], *mask_out = instr->operand[1];
    const real *x = instr->operand[2];
    const int64_t m = instr->dim[0];
    const double rate = instr->attribute[0];
    const uint64_t key = step->seed ^ (uint64_t)instr->attribute[2];
    const random_key k = {(uint32_t)step->number, (uint32_t)(uint64_t)instr->attribute[1],
                          {(uint32_t)key, (uint32_t)(key >> 32)}};
    const uint64_t least = (uint64_t)(rate * 0x1p32);
    const real scale = rate < 1 ? (real)(1 / (1 - rate)) : 0;
    const nn_range share = nn_share(m, DRAW, part, parts);
    for (int64_t i = share.begin; i < share.end; i += DRAW) {
        const int count = (int)(share.end - i < DRAW ? share.end - i : DRAW);
        uint32_t words[DRAW];
        real mask[DRAW];
        draw(words, k, (uint64_t)i / DRAW);
        for (int e = 0; e < DRAW; e++)
            mask[e] = words[e] >= least ? scale : 0;
        for (int e = 0; e < count; e++) {
            mask_out[i + e] = mask[e];
            y[i + e] = x[i + e] * mask[e];
        }
    }
}

#endif
