/* What the executor needs of the system: a monotonic clock, and one block of memory kept between runs without a lock. */
#ifndef NNCORE_RUNTIME_H
#define NNCORE_RUNTIME_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds since some moment that stays. */
static inline double nn_seconds(void) {
    struct timespec t;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &t);
#else
    timespec_get(&t, TIME_UTC);
#endif
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first address at or after p that is a multiple of 64. */
static inline char *nn_align(void *p) { return (char *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

/* The first address of a block that is a multiple of 64 and not its size; up to 63 bytes of the block are lost. */
static inline char *nn_inside(void *block) { return nn_align((char *)block + sizeof(size_t)); }

/* The block in `slot`, which then is empty, or a new one, with `size` bytes after its first 64, which hold its size;
   NULL where there is no memory. In a new one, `head` bytes from nn_inside on are 0. Two threads never get the same
   block. */
static inline void *nn_take(void **slot, size_t size, size_t head) {
    size_t *block = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL);
    if (block && *block >= size)
        return block;
    free(block);
    block = malloc(size + 64);
    if (block) {
        *block = size;
        memset(nn_inside(block), 0, head);
    }
    return block;
}

/* Keeps `block` in `slot` for the next nn_take, unless another thread's is there already. */
static inline void nn_give(void **slot, void *block) {
    free(__atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL));
}

#endif
