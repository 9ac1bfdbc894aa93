/* The row order of an epoch: a permutation of 0 … count - 1 as a function of a key, computed row by row, in no memory.

   A row is a point of a grid with sides of about sqrt(count). In each round one coordinate moves, round its side of the
   grid, by a hash of the other: that can be undone, so no two rows meet. What comes to lie beyond count, in the grid's
   last row, goes through the rounds again until it does not (Black, Rogaway, "Ciphers with arbitrary finite domains",
   CT-RSA 2002). The keys of the rounds are SplitMix64's (Steele, Lea, Flood, "Fast splittable pseudorandom number
   generators", OOPSLA 2014); the product of a hash and a side is a distance without a division (Lemire, "Fast random
   integer generation in an interval", TOMACS 2019). */
#ifndef NNCORE_ORDER_H
#define NNCORE_ORDER_H

#include "random.h"

enum {
    ORDER_ROUNDS = 8,
    SMALL_ORDER = 64,        /* below so many rows the sides are so short that it takes */
    SMALL_ORDER_ROUNDS = 24, /* more rounds until all orders are equally likely */
    ORDER_VECS = 32 / WORDS, /* mixed together: one alone would wait for its own multiplications */
};

typedef struct {
    uint64_t count, lefts, rights; /* the sides of the grid */
    int rounds;
    uint64_t key[SMALL_ORDER_ROUNDS]; /* in the lower halves */
} row_order;

/* Number i of the SplitMix64 sequence with this seed */
INLINE uint64_t split_mix(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

/* 0 < count < 2^52, so that the root of a square is exact */
INLINE row_order row_order_of(uint64_t count, uint64_t key)
{
    row_order o = {.count = count, .rounds = count < SMALL_ORDER ? SMALL_ORDER_ROUNDS : ORDER_ROUNDS};
    o.rights = (uint64_t)__builtin_sqrt((double)count);
    o.rights += o.rights * o.rights < count;
    o.lefts = (count + o.rights - 1) / o.rights;
    for (int i = 0; i < o.rounds; i += 2) {
        o.key[i] = split_mix(key, (uint64_t)i / 2);
        o.key[i + 1] = o.key[i] >> 32;
    }
    return o;
}

/* `at` moved round a side of the grid by a hash of `other` */
INLINE words moved(words at, words other, uint64_t key, uint64_t side)
{
    const words none = {0};
    words hash = words_mul(other ^ key, none + 0xD2511F53);
    hash = words_mul(hash ^ hash >> 32, none + 0xCD9E8D57);
    const words beyond = at + (words_mul(hash, none + side) >> 32) - side; /* negative, but where it went round */
    return beyond + (side & beyond >> 32);
}

INLINE void mix(const row_order *o, words *left, words *right, int vecs)
{
    for (int round = 0; round < o->rounds; round += 2)
        for (int v = 0; v < vecs; v++) {
            left[v] = moved(left[v], right[v], o->key[round], o->lefts);
            right[v] = moved(right[v], left[v], o->key[round + 1], o->rights);
        }
}

/* `row`, or the first on its way that is a row */
INLINE uint64_t walked(const row_order *o, uint64_t row)
{
    while (row >= o->count) {
        words left = {row / o->rights}, right = {row % o->rights};
        mix(o, &left, &right, 1);
        row = left[0] * o->rights + right[0];
    }
    return row;
}

/* rows[m] = the rows at the m positions from step->first on, where each `block` of `count` rows are in an order of their
   own; the positions are of one block */
KERNEL(op_row_order)
{
    enum { GROUP = ORDER_VECS * WORDS };
    int64_t *rows = instr->operand[0];
    const int64_t count = (int64_t)instr->attribute[0], block = (int64_t)instr->attribute[1];
    const int64_t number = step->first / block, start = number * block;
    const int64_t size = count - start < block ? count - start : block;
    const row_order o = row_order_of((uint64_t)size, split_mix(step->seed, (uint64_t)number));
    const nn_range share = nn_share(instr->dim[0], GROUP, part, parts);
    const uint64_t first = (uint64_t)(step->first - start + share.begin);
    uint64_t next_left = first / o.rights, next_right = first % o.rights;
    for (int64_t r = share.begin; r < share.end; r += GROUP) {
        uint64_t point[2][GROUP];
        words left[ORDER_VECS], right[ORDER_VECS];
        for (int i = 0; i < GROUP; i++) {
            const int last = next_right + 1 == o.rights;
            point[0][i] = next_left;
            point[1][i] = next_right;
            next_left += (uint64_t)last;
            next_right = last ? 0 : next_right + 1;
        }
        memcpy(left, point[0], sizeof left);
        memcpy(right, point[1], sizeof right);
        mix(&o, left, right, ORDER_VECS);
        for (int v = 0; v < ORDER_VECS; v++)
            left[v] = words_mul(left[v], (words){0} + o.rights) + right[v];
        memcpy(point[0], left, sizeof left);
        for (int i = 0; i < GROUP && r + i < share.end; i++)
            rows[r + i] = start + (int64_t)walked(&o, point[0][i]);
    }
}

#endif
